//! Messages that finish after their handlers have returned.

use super::*;
use crate::sync::AtomicUsize;

/// A flow whose handlers send their slots here.
fn holding(config: FlowConfig) -> (FlowWorker<u32>, Receiver<(u32, Slot)>) {
    let (sender, receiver) = channel();
    let flow = flow(config, move |_, message: u32| {
        let slot = Slot::take().expect("the first in a handler");
        assert!(Slot::take().is_none(), "a slot is taken once");
        assert!(queue_delay().is_some(), "the handler still runs");
        sender.send((message, slot)).unwrap();
    });
    (flow, receiver)
}

#[test]
fn a_message_is_in_flight_and_counted_when_its_slot_is_dropped() {
    let (flow, slots) = holding(FlowConfig::new(2).with_threads(1));
    for message in [1, 2] {
        at_once(flow.execute(peer(1), message)).unwrap();
    }
    let held = [(); 2].map(|()| slots.recv_timeout(LIMIT).unwrap());
    assert_eq!(held.each_ref().map(|(message, _)| *message), [1, 2], "the next starts beside it");
    wait_until("the return of both calls", || flow.snapshot().held == 2);
    let counts = flow.snapshot();
    assert_eq!((counts.in_flight, counts.queued, counts.finished()), (2, 0, 0));
    assert_eq!(flow.try_execute(peer(2), 3).unwrap_err().reason, RefusalReason::Full);
    let [first, second] = held;
    drop(first);
    assert_eq!((flow.snapshot().handled(), flow.snapshot().in_flight), (1, 1));
    assert!(flow.try_execute(peer(2), 4).is_ok());
    drop(second);
    drop(slots.recv_timeout(LIMIT).unwrap());
    assert!(flow.shutdown(LIMIT).is_clean());
    let counts = at_rest(&flow);
    assert_eq!((counts.handled(), counts.held), (3, 0));
    assert_eq!((counts.wait.count(), counts.service.count()), (3, 3));
}

#[test]
fn whoever_drops_a_slot_lets_in_who_waits() {
    let (flow, slots) = holding(FlowConfig::new(1).with_threads(1));
    at_once(flow.execute(peer(1), 1)).unwrap();
    let held = slots.recv_timeout(LIMIT).unwrap();
    let waits = flow.execute(peer(2), 2);
    thread::scope(|scope| {
        let waits = scope.spawn(|| block_on(waits));
        drop(held);
        assert_eq!(waits.join().unwrap().unwrap(), Submitted::Admitted);
    });
    drop(slots.recv_timeout(LIMIT).unwrap());
    assert!(flow.shutdown(LIMIT).is_clean());
}

#[test]
fn tasks_are_as_many_as_the_bound_allows_and_no_more() {
    const BOUND: usize = 10;
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let config = FlowConfig::new(BOUND).with_threads(3).with_max_waiters(1_000);
    let (tasks, for_pool) = crossbeam::channel::unbounded::<Slot>();
    let flow = {
        let (running, most) = (Arc::clone(&running), Arc::clone(&most));
        flow(config, move |_, _: u32| {
            let slot = Slot::take().unwrap();
            most.fetch_max(running.fetch_add(1, Ordering::AcqRel) + 1, Ordering::AcqRel);
            tasks.send(slot).unwrap();
        })
    };
    let pool: Vec<_> = (0..2 * BOUND)
        .map(|_| {
            let (tasks, running) = (for_pool.clone(), Arc::clone(&running));
            thread::spawn(move || {
                for slot in tasks {
                    thread::yield_now();
                    running.fetch_sub(1, Ordering::AcqRel);
                    drop(slot);
                }
            })
        })
        .collect();
    drop(for_pool);
    let each = rounds(500) as u32;
    let calls: Vec<_> =
        (0..each).map(|message| flow.execute(peer((message % 3) as u8), message)).collect();
    block_on(join_all(calls)).into_iter().for_each(|submitted| _ = submitted.unwrap());
    assert!(flow.shutdown(LIMIT).is_clean());
    assert_eq!(at_rest(&flow).handled(), u64::from(each));
    assert!(most.load(Ordering::Acquire) <= BOUND, "{most:?} at a time");
    drop(flow);
    pool.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn a_slot_that_is_dropped_by_a_panic_says_so_and_one_that_outlives_it_does_not() {
    let (flow, slots) = holding(FlowConfig::new(10).with_threads(1));
    block_on(flow.execute(peer(1), 1)).unwrap();
    let (_, slot) = slots.recv_timeout(LIMIT).unwrap();
    let task = thread::spawn(move || {
        let _slot = slot;
        // Without the noise.
        std::panic::resume_unwind(Box::new("on purpose"));
    });
    assert!(task.join().is_err());
    assert_eq!((at_rest(&flow).panicked(), at_rest(&flow).handled()), (1, 0));
    assert!(flow.shutdown(LIMIT).is_clean());

    let (sender, slots) = channel();
    let panics = self::flow(FlowConfig::new(10).with_threads(1), move |_, (): ()| {
        sender.send(Slot::take().unwrap()).unwrap();
        std::panic::resume_unwind(Box::new("on purpose"));
    });
    block_on(panics.execute(peer(1), ())).unwrap();
    drop(slots.recv_timeout(LIMIT).unwrap());
    assert!(panics.shutdown(LIMIT).is_clean());
    let counts = at_rest(&panics);
    assert_eq!((counts.handled(), counts.panicked(), counts.stray_panics), (1, 0, 1));
}

#[test]
fn a_slot_knows_that_its_peer_has_gone() {
    let (flow, slots) = holding(FlowConfig::new(10).with_threads(1));
    block_on(flow.execute(peer(1), 1)).unwrap();
    let (_, slot) = slots.recv_timeout(LIMIT).unwrap();
    assert!(!slot.is_cancelled());
    flow.cancel_peer(peer(1));
    assert!(slot.is_cancelled());
    // Another connection of the peer is none of its business.
    block_on(flow.execute(peer(1), 2)).unwrap();
    let (_, next) = slots.recv_timeout(LIMIT).unwrap();
    assert!(!next.is_cancelled() && slot.is_cancelled());
    drop((slot, next));
    assert!(flow.shutdown(LIMIT).is_clean());
    assert_eq!(at_rest(&flow).handled(), 2);
}

#[test]
fn a_shutdown_waits_for_slots_until_its_deadline() {
    let (flow, slots) = holding(FlowConfig::new(10).with_threads(1));
    block_on(flow.execute(peer(1), 1)).unwrap();
    let (_, slot) = slots.recv_timeout(LIMIT).unwrap();
    let report = flow.shutdown(Duration::ZERO);
    assert_eq!((report.dropped, report.running), (0, 1));
    assert!(slot.is_cancelled(), "nobody waits for it any more");
    drop(slot);
    assert!(flow.shutdown(LIMIT).is_clean());
    assert_eq!(at_rest(&flow).handled(), 1);

    let (flow, slots) = holding(FlowConfig::new(10).with_threads(1));
    block_on(flow.execute(peer(1), 1)).unwrap();
    let (_, slot) = slots.recv_timeout(LIMIT).unwrap();
    thread::scope(|scope| {
        let report = scope.spawn(|| flow.shutdown(LIMIT));
        wait_until("the close", || flow.inner.queue.is_closed());
        drop(slot);
        assert!(report.join().unwrap().is_clean());
    });
}

#[test]
fn there_is_no_slot_outside_of_a_handler() {
    assert!(Slot::take().is_none());
    let (sender, receiver) = channel();
    let flow = flow(FlowConfig::new(10), move |_, (): ()| {
        let sender = sender.clone();
        // On another thread of the pool, or on this one when the handler has returned.
        rayon::spawn(move || sender.send(Slot::take().is_none()).unwrap());
    });
    block_on(flow.execute(peer(1), ())).unwrap();
    assert!(receiver.recv_timeout(LIMIT).unwrap());
    assert!(flow.shutdown(LIMIT).is_clean());
}
