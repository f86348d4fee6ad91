//! A peer's way into a flow as a service, alone and below tower's middleware.

use std::task::{Context, Waker};

use tower::{Service, ServiceBuilder, ServiceExt, buffer::Buffer, load_shed::error::Overloaded};

use super::*;

fn is_ready<S: Service<u32>>(service: &mut S) -> bool
where
    S::Error: fmt::Debug,
{
    match service.poll_ready(&mut Context::from_waker(Waker::noop())) {
        std::task::Poll::Ready(ready) => {
            ready.unwrap();
            true
        }
        std::task::Poll::Pending => false,
    }
}

fn reason(polled: Result<(), Refused<Option<u32>>>) -> (Option<u32>, RefusalReason) {
    let Refused { message, reason } = polled.unwrap_err();
    (message, reason)
}

fn ready_fails(service: &mut PeerService<u32>) -> RefusalReason {
    let polled = service.poll_ready(&mut Context::from_waker(Waker::noop()));
    let std::task::Poll::Ready(ready) = polled else { panic!("it waits") };
    let (message, reason) = reason(ready);
    assert_eq!(message, None);
    reason
}

#[test]
fn a_service_over_a_full_flow_is_shed_from_and_nothing_of_it_waits() {
    let (flow, _starts, leave) = busy(FlowConfig::new(2));
    let flow = Arc::new(flow);
    let service = Arc::clone(&flow).service(peer(2));
    let mut service = ServiceBuilder::new().load_shed().service(service);
    let mut answers = Vec::new();
    for message in 0..5 {
        // Always ready: what finds no capacity is shed by the call.
        assert!(is_ready(&mut service));
        answers.push(at_once(service.call(message)));
    }
    let shed = answers.iter().filter(|answer| answer.as_ref().is_err_and(|e| e.is::<Overloaded>()));
    assert_eq!((answers[0].is_ok(), shed.count()), (true, 4));
    assert_eq!((flow.snapshot().admitted, flow.snapshot().waiting), (2, 1), "the service waits");
    drop(service);
    assert_eq!(flow.snapshot().waiting, 0);
    (0..2).for_each(|_| leave.send(()).unwrap());
    let counts = at_rest(&flow);
    assert_eq!((counts.handled(), counts.count(Outcome::WaitCancelled)), (2, 1));
}

#[test]
fn a_buffer_in_front_of_a_service_delivers_all_in_order() {
    let (sender, receiver) = channel();
    let flow = flow(FlowConfig::new(2).with_threads(1), move |_, message: u32| {
        sender.send(message).unwrap();
    });
    let flow = Arc::new(flow);
    let (buffered, worker) = Buffer::pair(Arc::clone(&flow).service(peer(1)), 4);
    let worker = thread::spawn(move || block_on(worker));
    block_on(async {
        let mut buffered = buffered;
        for message in 0..1_000 {
            buffered.ready().await.unwrap().call(message).await.unwrap();
        }
    });
    worker.join().unwrap();
    let heard: Vec<_> = receiver.iter().take(1_000).collect();
    assert!(heard.into_iter().eq(0..1_000));
    assert_eq!(at_rest(&flow).handled(), 1_000);
}

#[test]
fn a_service_that_is_ready_holds_capacity_and_gives_it_back() {
    let (flow, starts, leave) = busy(FlowConfig::new(2));
    let flow = Arc::new(flow);
    let mut service = Arc::clone(&flow).service(peer(2));
    assert!(is_ready(&mut service) && is_ready(&mut service));
    assert_eq!((flow.snapshot().admitted, flow.snapshot().in_flight), (2, 2));
    let refused = flow.try_execute(peer(3), 3).unwrap_err();
    assert_eq!(refused.reason, RefusalReason::Full);
    // A clone has no permit of its own, and one who waits gets what is given back.
    let mut clone = service.clone();
    assert!(!is_ready(&mut clone));
    drop(service);
    assert!(is_ready(&mut clone));
    block_on(clone.call(1)).unwrap();
    (0..2).for_each(|_| leave.send(()).unwrap());
    assert_eq!(starts.recv_timeout(LIMIT), Ok(1));
    let counts = at_rest(&flow);
    let ends = [Outcome::PermitReleased, Outcome::Full].map(|outcome| counts.count(outcome));
    assert_eq!((counts.admitted, counts.handled(), ends), (3, 2, [1, 1]));
}

#[test]
fn a_permit_is_revoked_by_a_departure_which_does_not_wait_for_it() {
    for departure in [crate::Departure::Cancel, crate::Departure::Drain] {
        let registry = MetricsRegistry::new();
        let mut builder = crate::Engine::<NodeId>::builder(&registry);
        let config = FlowConfig::new(10).with_departure(departure);
        let flow = builder.flow("lines", config, |_: &NodeId, _: u32| {}).unwrap();
        let engine = builder.build().unwrap();
        let connection = block_on(engine.connect(peer(1))).unwrap();
        let mut service = Arc::clone(&flow).service(peer(1));
        assert!(is_ready(&mut service));
        connection.close().wait();
        let (message, why) = reason(at_once(service.call(7)));
        assert_eq!((message, why), (Some(7), RefusalReason::Disconnected));
        // Its next message is one of a new connection.
        assert!(is_ready(&mut service));
        block_on(service.call(8)).unwrap();
        assert!(engine.shutdown(LIMIT).is_clean());
        registry.snapshot().verify().unwrap();
        let counts = flow.snapshot();
        assert_eq!((counts.handled(), counts.count(Outcome::PermitReleased)), (1, 1));
    }
}

#[test]
fn a_permit_that_nobody_asks_for_goes_to_others_and_its_service_waits_anew() {
    let (flow, _starts, leave) = busy(FlowConfig::new(1));
    let flow = Arc::new(flow);
    // As below `load_shed`: it has found that it must wait, and turns to other things.
    let mut sheds = Arc::clone(&flow).service(peer(2));
    assert!(!is_ready(&mut sheds));
    leave.send(()).unwrap();
    let honest = flow.execute(peer(3), 3);
    leave.send(()).unwrap();
    assert_eq!(block_on(honest), Ok(Submitted::Admitted));
    let counts = at_rest(&flow);
    assert_eq!((counts.count(Outcome::PermitReleased), counts.permits), (1, 0));
    assert!(is_ready(&mut sheds), "it waits anew");
    assert_eq!((flow.snapshot().permits, flow.snapshot().queued), (1, 0));
    // One who has asked keeps it, however often the flow is looked at.
    for _ in 0..3 {
        flow.inner.revoke_idle_permits();
    }
    leave.send(()).unwrap();
    block_on(sheds.call(4)).unwrap();
    assert_eq!(at_rest(&flow).handled(), 3);
}

#[test]
fn a_shutdown_waits_for_no_permit() {
    let flow = Arc::new(flow(FlowConfig::new(1), |_, _: u32| {}));
    let (mut ready, mut waits) =
        (Arc::clone(&flow).service(peer(1)), Arc::clone(&flow).service(peer(2)));
    assert!(is_ready(&mut ready) && !is_ready(&mut waits));
    assert!(flow.shutdown(LIMIT).is_clean());
    assert_eq!(reason(at_once(ready.call(7))), (Some(7), RefusalReason::Closed));
    assert_eq!([ready_fails(&mut ready), ready_fails(&mut waits)], [RefusalReason::Closed; 2]);
    let counts = at_rest(&flow);
    assert_eq!((counts.admitted, counts.count(Outcome::PermitReleased)), (1, 1));
    assert_eq!(counts.count(Outcome::Closed), 3, "the wait, the message, and the last attempt");
}

#[test]
fn a_service_counts_the_bytes_that_its_messages_have() {
    let (flow, _starts, leave) = busy(FlowConfig::new(10).with_max_bytes(Some(100)));
    let flow = Arc::new(flow);
    let mut service = Arc::clone(&flow).service(peer(2)).with_size(|message| *message as usize);
    let before = flow.snapshot().bytes_in_flight;
    assert!(is_ready(&mut service));
    block_on(service.call(1_000)).unwrap();
    assert_eq!(flow.snapshot().bytes_in_flight, before + 1_000);
    assert!(!is_ready(&mut service), "no byte is free");
    (0..2).for_each(|_| leave.send(()).unwrap());
    wait_until("capacity", || is_ready(&mut service));
    drop(service);
    at_rest(&flow);
}

#[test]
fn a_clone_counts_bytes_alike_and_a_wait_counts_once() {
    let (flow, _starts, leave) = busy(FlowConfig::new(10).with_max_bytes(Some(100)));
    let flow = Arc::new(flow);
    let service = Arc::clone(&flow).service(peer(2)).with_size(|message| *message as usize);
    let mut clone = service.clone();
    let before = flow.snapshot().bytes_in_flight;
    assert!(is_ready(&mut clone));
    block_on(clone.call(1_000)).unwrap();
    assert_eq!(flow.snapshot().bytes_in_flight, before + 1_000);
    assert!((0..3).all(|_| !is_ready(&mut clone)));
    assert_eq!(flow.snapshot().waiting_for_peer_permit, 1);
    drop(clone);
    (0..2).for_each(|_| leave.send(()).unwrap());
    at_rest(&flow);
}

#[test]
#[should_panic = "while it is not ready"]
fn a_service_that_is_not_ready_is_not_called() {
    let flow = Arc::new(flow(FlowConfig::new(1), |_, _: u32| {}));
    drop(flow.service(peer(1)).call(1));
}

#[test]
fn services_that_are_used_dropped_and_revoked_at_once_leave_nothing_behind() {
    for _ in 0..rounds(20) {
        let registry = MetricsRegistry::new();
        let mut builder = crate::Engine::<NodeId>::builder(&registry);
        let config = FlowConfig::new(3).with_peer_quota(2).with_threads(2);
        let flow = builder.flow("lines", config, |_: &NodeId, _: u32| {}).unwrap();
        let engine = builder.build().unwrap();
        thread::scope(|threads| {
            for number in 0..4 {
                let flow = &flow;
                threads.spawn(move || {
                    for message in 0..200_u32 {
                        let mut service = Arc::clone(flow).service(peer(number / 2));
                        match message % 5 {
                            0 | 1 => drop(service.ready().now_or_never()),
                            _ => match block_on(service.ready()) {
                                Ok(service) => drop(service.call(message)),
                                Err(refused) => {
                                    assert_eq!(refused.reason, RefusalReason::Disconnected);
                                }
                            },
                        }
                    }
                });
            }
            let engine = &engine;
            threads.spawn(move || {
                for _ in 0..50 {
                    let connection = block_on(engine.connect(peer(1))).unwrap();
                    connection.close().wait();
                }
            });
        });
        assert!(engine.shutdown(LIMIT).is_clean());
        registry.snapshot().verify().unwrap();
        assert_eq!(flow.snapshot().in_flight, 0);
    }
}

#[test]
fn a_size_that_panics_leaves_no_permit_behind() {
    let flow = Arc::new(flow(FlowConfig::new(1), |_, _: u32| {}));
    let mut service = Arc::clone(&flow).service(peer(1)).with_size(|_| panic!("on purpose"));
    assert!(is_ready(&mut service));
    let called = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(service.call(1))));
    assert!(called.is_err());
    drop(service);
    assert_eq!(flow.snapshot().in_flight, 0, "a permit is lost");
}
