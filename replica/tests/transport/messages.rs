//! What is sent arrives, whole and in order, and one flow does not hold up another.

use gossip_engine::{FlowType, GossipMessage, Outcome, RefusalReason, Submitted, TransportEvent};
use gossip_replica::{outbox::SendError, transport::frame::STREAM_FLOWS};

use crate::{
    recorder::{LIMIT, refusal, until},
    replica::{assert_they_talk, connected, message},
};

const FLOWS: [FlowType; 4] = STREAM_FLOWS;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_flows_arrive_whole_and_in_order() {
    const EACH: u64 = 200;
    let [one, two] = connected().await;
    for number in 0..EACH {
        for flow in FLOWS {
            for (from, to) in [(&one, &two), (&two, &one)] {
                until("there is capacity", || {
                    from.outbox().send(to.id(), message(flow, number)).is_ok()
                })
                .await;
            }
        }
    }
    for (from, to) in [(&one, &two), (&two, &one)] {
        for flow in FLOWS {
            let expected: Vec<GossipMessage> =
                (0..EACH).map(|number| message(flow, number)).collect();
            to.recorder
                .until("all messages arrive", |recorder| {
                    recorder.messages(from.id(), flow).len() >= expected.len()
                })
                .await;
            assert!(to.recorder.messages(from.id(), flow) == expected, "{flow}");
        }
    }
    for replica in [&one, &two] {
        let counters = replica.transport.counters();
        for flow in FLOWS {
            let flow = counters.flow(flow);
            assert_eq!((flow.frames_in, flow.lost, flow.not_connected), (EACH, 0, 0));
            assert_eq!(flow.frames_out, EACH);
        }
        assert_eq!((counters.connections, counters.disconnections), (1, 0));
        assert_eq!((counters.cut_offs, counters.replaced), (0, 0));
    }
    let sum = |place: &crate::replica::Replica, flow| place.transport.counters().flow(flow);
    for flow in FLOWS {
        assert_eq!(sum(&one, flow).bytes_in, sum(&two, flow).bytes_out);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn up_comes_first_and_down_last() {
    let [one, two] = connected().await;
    // Queued while the other side's `PeerUp` may still be under way.
    assert_they_talk(&one, &two, 1).await;
    one.transport.shutdown(LIMIT).await;
    two.until_down(one.id(), 1).await;
    for (here, there) in [(&one, &two), (&two, &one)] {
        let events = here.recorder.events_of(there.id());
        assert_eq!(events.first(), Some(&TransportEvent::PeerUp(there.id())));
        here.recorder.assert_in_order(there.id());
    }
    assert_eq!(one.recorder.ups_and_downs(two.id()), (1, 1));
    let last = one.recorder.events_of(two.id()).pop();
    assert_eq!(last, Some(TransportEvent::PeerDown(two.id())));
    let error = one.outbox().send(two.id(), message(FlowType::Advert, 1)).unwrap_err();
    assert_eq!(error, SendError::NotConnected(two.id()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_wait_until_the_arrival_is_taken() {
    let [small, large] =
        crate::replica::identities().map(|identity| crate::replica::Replica::bind(&identity));
    large.recorder.hold(FlowType::Transport);
    small.start(&[large.as_peer()]);
    large.start(&[small.as_peer()]);
    small.until_up(large.id(), 1).await;
    small.outbox().send(large.id(), message(FlowType::Advert, 7)).unwrap();
    until("the frame is under way", || {
        small.transport.counters().flow(FlowType::Advert).frames_out == 1
    })
    .await;
    large.recorder.until_one_waits().await;
    assert_eq!(large.recorder.events(), []);
    large.recorder.release(FlowType::Transport);
    large.recorder.until("the message comes", |recorder| recorder.events().len() == 2).await;
    assert_eq!(large.recorder.events()[0], TransportEvent::PeerUp(small.id()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_flow_holds_up_itself_alone() {
    let [one, two] = connected().await;
    two.recorder.hold(FlowType::Chunk);
    // Until the queue is full, so QUIC's window is exhausted and the reader stands still.
    let mut sent = 0;
    let full = SendError::Full { peer: two.id(), flow: FlowType::Chunk };
    until("the chunk flow is full", || {
        // As large as chunks in use are; the number is their only content.
        one.transport.counters().flow(FlowType::Chunk).full > 0
            || one.outbox().send(two.id(), message(FlowType::Chunk, 3)) == Err(full)
    })
    .await;
    while one.outbox().send(two.id(), message(FlowType::Chunk, 3)).is_ok() {
        sent += 1;
        assert!(sent < 1000, "nothing holds it up");
    }
    two.recorder.until_one_waits().await;
    let other_flows = [FlowType::Advert, FlowType::Request, FlowType::Retransmission];
    for number in 0..100 {
        for flow in other_flows {
            until("there is capacity", || {
                one.outbox().send(two.id(), message(flow, number)).is_ok()
            })
            .await;
        }
    }
    for flow in other_flows {
        two.recorder
            .until("the other flows arrive", |recorder| {
                recorder.messages(one.id(), flow).len() == 100
            })
            .await;
    }
    assert_eq!(two.recorder.messages(one.id(), FlowType::Chunk), []);
    assert!(one.transport.counters().flow(FlowType::Chunk).full > 0);

    two.recorder.release(FlowType::Chunk);
    until("nothing was lost", || {
        let out = one.transport.counters().flow(FlowType::Chunk).frames_out;
        out > 32 && two.transport.counters().flow(FlowType::Chunk).frames_in == out
    })
    .await;
    assert_eq!(two.recorder.ups_and_downs(one.id()), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_waits_does_not_outlive_its_connection() {
    let [one, two] = connected().await;
    two.recorder.hold(FlowType::Chunk);
    one.outbox().send(two.id(), message(FlowType::Chunk, 1)).unwrap();
    two.recorder.until_one_waits().await;
    one.transport.shutdown(LIMIT).await;
    two.until_down(one.id(), 1).await;
    assert_eq!(two.recorder.waiting(), 0);
    two.recorder.release(FlowType::Chunk);
    two.recorder.assert_in_order(one.id());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_without_room_is_lost_and_counted() {
    let [one, two] = connected().await;
    let flow = FlowType::Retransmission;
    two.recorder.refuse_next([refusal(one.id(), flow, RefusalReason::TooManyWaiters)]);
    one.outbox().send(two.id(), message(flow, 1)).unwrap();
    assert_they_talk(&one, &two, 2).await;
    assert_eq!(two.recorder.messages(one.id(), flow), [message(flow, 2)]);
    assert_eq!(two.transport.counters().flow(flow).refused_in, 1);
    assert_eq!(two.transport.counters().cut_offs, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_a_policy_drops_is_counted() {
    let [one, two] = connected().await;
    let flow = FlowType::Advert;
    two.recorder.answer_next([Ok(Submitted::Dropped(Outcome::DroppedNewest))]);
    one.outbox().send(two.id(), message(flow, 1)).unwrap();
    one.outbox().send(two.id(), message(flow, 2)).unwrap();
    until("both were answered", || two.transport.counters().flow(flow).frames_in == 2).await;
    let counts = two.transport.counters().flow(flow);
    assert_eq!((counts.dropped_in, counts.refused_in), (1, 0));
    assert_eq!(two.recorder.messages(one.id(), flow), [message(flow, 2)]);
    assert_eq!(two.transport.counters().cut_offs, 0);
}
