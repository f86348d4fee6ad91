use std::{
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

use futures_executor::block_on;
use futures_util::FutureExt;

use super::*;
use crate::flow_worker::submit::Decision;
use crate::{FlowConfig, FlowType, MetricsRegistry, Outcome, RefusalReason};

/// Beyond this a test has failed; nothing passes by taking long.
const LIMIT: Duration = Duration::from_secs(60);

fn peer(number: u8) -> NodeId {
    NodeId::new([number; 32])
}

fn flow(
    config: &FlowConfig,
    handler: impl Fn(&NodeId, u32) + Send + Sync + 'static,
) -> FlowWorker<u32> {
    FlowWorker::new(FlowType::Request, config, &MetricsRegistry::new(), handler).unwrap()
}

#[test]
fn a_lane_is_remembered_from_the_second_message_in_a_row_on() {
    let flow = flow(&FlowConfig::new(100), |_, _| {});
    let mut remembered = RememberedLane::default();
    let mut is_known_after = |from| {
        block_on(flow.execute_from(&peer(from), 0, 4, &mut remembered)).unwrap();
        remembered.lane.as_ref().map(|lane| *lane.key())
    };
    assert_eq!([1, 1, 1].map(&mut is_known_after), [None, Some(peer(1)), Some(peer(1))]);
    assert_eq!([2, 1, 2, 2].map(is_known_after), [None, None, None, Some(peer(2))]);
    assert!(flow.shutdown(LIMIT).is_clean());
    assert_eq!(flow.snapshot().handled(), 7);
}

#[test]
fn a_lane_that_has_gone_is_looked_up_again_whoever_finds_out() {
    let flow = flow(&FlowConfig::new(100).with_threads(1), |_, _| {});
    let in_table = || flow.inner.queue.with_lane(&peer(1), |lane| lane.cloned());
    let mut remembered = RememberedLane::default();
    let mut submit = || {
        block_on(flow.execute_from(&peer(1), 0, 4, &mut remembered)).unwrap();
        remembered.lane.clone()
    };
    submit();
    let first = submit().expect("the second in a row");
    flow.cancel_peer(peer(1));
    assert!(in_table().is_none() && first.is_closed());
    // Who finds out before it submits a message, and who finds out when it would enter.
    submit();
    let next = submit().expect("the fourth in a row");
    assert!(Arc::ptr_eq(&next, &in_table().expect("a lane")) && !Arc::ptr_eq(&next, &first));
    let submitted = flow.inner.submit(Some(&first), &peer(1), 0, 4, false);
    assert!(matches!(submitted, Decision::Admitted));
    assert!(Arc::ptr_eq(&next, &in_table().expect("the same")));
    assert!(flow.shutdown(LIMIT).is_clean());
    // The first two may have been cancelled before they ran.
    assert_eq!(flow.snapshot().finished(), 5);
}

#[test]
fn what_is_submitted_after_the_peer_has_gone_belongs_to_its_next_connection() {
    let (started, starts) = channel();
    let (leave, leaves) = crossbeam::channel::unbounded::<()>();
    let flow = flow(&FlowConfig::new(100).with_threads(1), move |_, message| {
        started.send(message).unwrap();
        leaves.recv_timeout(LIMIT).expect("the test gives leave");
    });
    let mut submitter = flow.submitter(peer(1));
    let mut submit = |message| {
        let submitted = submitter.execute(message).now_or_never();
        assert!(submitted.is_some_and(|submitted| submitted.is_ok()), "there is capacity");
    };
    (0..3).for_each(&mut submit);
    assert_eq!(starts.recv_timeout(LIMIT), Ok(0));
    flow.cancel_peer(peer(1));
    (3..5).for_each(&mut submit);
    (0..3).for_each(|_| leave.send(()).unwrap());
    assert!(flow.shutdown(LIMIT).is_clean());
    assert_eq!(starts.try_iter().collect::<Vec<_>>(), [3, 4]);
    assert_eq!((flow.snapshot().handled(), flow.snapshot().count(Outcome::Cancelled)), (3, 2));
    let refused = submitter.execute(5).now_or_never().expect("it is refused at once").unwrap_err();
    assert_eq!((refused.message, refused.reason), (5, RefusalReason::Closed));
}

#[test]
fn messages_that_are_submitted_together_count_as_far_as_they_are_admitted_and_the_rest_stays() {
    let (started, starts) = channel();
    let (leave, leaves) = crossbeam::channel::unbounded::<()>();
    let config = FlowConfig::new(40).with_peer_quota(30).with_threads(1);
    let flow = flow(&config, move |_, message| {
        started.send(message).unwrap();
        leaves.recv_timeout(LIMIT).expect("the test gives leave");
    });
    let mut submitter = flow.submitter(peer(1));
    let mut messages: VecDeque<_> = (0..50).map(|message| (message, 4)).collect();
    // Also of a peer that comes anew.
    assert_eq!(submitter.try_execute_many(&mut messages), 30);
    assert_eq!((submitter.try_execute_many(&mut messages), messages.len()), (0, 20));
    let counts = flow.snapshot();
    assert_eq!((counts.admitted, counts.refused(), counts.high_water), (30, 0, 30));
    (0..30).for_each(|_| leave.send(()).unwrap());
    // The next one waits for capacity, and the others follow it.
    let (next, bytes) = messages.pop_front().unwrap();
    block_on(submitter.execute_sized(next, bytes)).expect("the flow is open");
    (0..20).for_each(|_| leave.send(()).unwrap());
    while !messages.is_empty() {
        if submitter.try_execute_many(&mut messages) == 0 {
            thread::yield_now();
        }
    }
    while flow.snapshot().in_flight > 0 {
        thread::yield_now();
    }
    flow.cancel_peer(peer(1));
    messages.push_back((50, 4));
    leave.send(()).unwrap();
    assert_eq!(submitter.try_execute_many(&mut messages), 1, "of its next connection");
    assert!(flow.shutdown(LIMIT).is_clean());
    messages.push_back((51, 4));
    assert_eq!((submitter.try_execute_many(&mut messages), messages.len()), (0, 1));
    assert!(starts.try_iter().eq(0..51));
    let counts = flow.snapshot();
    assert_eq!((counts.admitted, counts.handled(), counts.refused()), (51, 51, 0));
}

#[test]
fn peers_who_take_each_others_only_lane_have_their_messages_run_as_their_own() {
    const EACH: u32 = 2_000;
    let (sender, receiver) = channel();
    let config = FlowConfig::new(8).with_threads(2).with_max_peers(1);
    let flow = flow(&config, move |peer, message| sender.send((*peer, message)).unwrap());
    thread::scope(|scope| {
        for from in [1, 2] {
            let mut submitter = flow.submitter(peer(from));
            scope.spawn(move || {
                for message in 0..EACH {
                    // Until the other peer's lane is unused.
                    while let Err(refused) = block_on(submitter.execute(message)) {
                        assert_eq!(refused.reason, RefusalReason::TooManyPeers);
                        thread::yield_now();
                    }
                }
            });
        }
    });
    assert!(flow.shutdown(LIMIT).is_clean());
    drop(flow);
    let mut ran: Vec<_> = receiver.into_iter().collect();
    ran.sort_unstable();
    assert!(ran.into_iter().eq(
        [1, 2].into_iter().flat_map(|from| { (0..EACH).map(move |message| (peer(from), message)) })
    ));
}

/// A flow of one thread for 30 messages that wait for leave, and for fewer where they are of many bytes.
fn gated(
    max_bytes: Option<u64>,
) -> (FlowWorker<u32>, Receiver<u32>, crossbeam::channel::Sender<()>) {
    let (started, starts) = channel();
    let (leave, leaves) = crossbeam::channel::unbounded::<()>();
    let config = FlowConfig::new(30).with_peer_quota(30).with_threads(1).with_max_bytes(max_bytes);
    let flow = flow(&config, move |_, message| {
        started.send(message).unwrap();
        leaves.recv_timeout(LIMIT).expect("the test gives leave");
    });
    (flow, starts, leave)
}

#[test]
fn a_burst_that_does_not_fit_is_in_the_mark_when_it_has_passed() {
    let (flow, starts, leave) = gated(None);
    let mut messages: VecDeque<_> = (0..31).map(|message| (message, 4)).collect();
    assert_eq!(flow.submitter(peer(1)).try_execute_many(&mut messages), 30);
    (0..30).for_each(|_| leave.send(()).unwrap());
    (0..30).for_each(|message| assert_eq!(starts.recv_timeout(LIMIT), Ok(message)));
    assert_eq!(flow.snapshot().high_water, 30);
}

#[test]
fn messages_that_are_submitted_together_count_their_bytes() {
    let (flow, _starts, leave) = gated(Some(10));
    let mut messages: VecDeque<_> = (0..5).map(|message| (message, 4)).collect();
    assert_eq!(flow.submitter(peer(1)).try_execute_many(&mut messages), 3, "the last exceeds them");
    assert_eq!((flow.snapshot().bytes_in_flight, messages.len()), (12, 2));
    (0..3).for_each(|_| leave.send(()).unwrap());
    assert!(flow.shutdown(LIMIT).is_clean());
}
