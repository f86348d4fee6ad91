//! Lanes that are retired: the thread that ends the last of what they held is notified, and no event is lost.

use super::*;

/// Who waits for a lane to be left, as a flow has it.
#[derive(Debug, Default)]
struct Events {
    notified: usize,
    /// Who has retired the lane waits for the event.
    waits: bool,
    /// The event has come meanwhile.
    heard: bool,
}

type Shared = Arc<Mutex<Events>>;

fn events() -> Shared {
    Arc::new(Mutex::new(Events::default()))
}

/// A thread was notified that the lane is left, or not.
fn notified(events: &Shared, lane: &OneLane, left: bool) {
    if left {
        let mut events = events.lock();
        assert!(lane.is_left(), "the event comes before it is so");
        events.notified += 1;
        events.heard |= events.waits;
    }
}

/// Retires the lane, looks, and waits for the event if it is not left.
fn retire(events: &Shared, queue: &Queue, lane: &OneLane) {
    let mut wake = WakeList::default();
    let _ = queue.retire_lane(lane, &mut wake);
    notified(events, lane, wake.left);
    let mut events = events.lock();
    events.waits = !lane.is_left();
    assert!(!events.waits || events.notified == 0, "the event has come, and it is not so");
}

/// All threads are at rest, and nothing is queued.
fn assert_notified_once(events: &Shared, queue: &Queue, lane: &OneLane) {
    let events = events.lock();
    assert_eq!(events.notified, 1, "nobody is notified, or two are");
    assert_eq!(events.heard, events.waits, "who waits has missed it");
    assert!(lane.is_left() && queue.in_flight() == 0);
    assert_eq!(queue.schedule.lock().lanes(), 0, "its place is taken");
}

/// A worker that runs all that it finds, until it finds nothing.
fn work(queue: &Queue, worker: &mut OneWorker, lane: &OneLane, events: &Shared) {
    while look(queue, worker) {
        notified(events, lane, worker.take_left());
        end(queue, worker);
    }
    notified(events, lane, worker.take_left());
}

fn retires(events: &Shared, queue: &Arc<Queue>, lane: &OneLane) -> thread::JoinHandle<()> {
    let (events, queue, lane) = (Arc::clone(events), Arc::clone(queue), Arc::clone(lane));
    thread::spawn(move || retire(&events, &queue, &lane))
}

#[test]
fn a_retired_lane_is_left_by_its_last_worker_or_by_who_retires_it() {
    explore(5, || {
        let (queue, events) = (queue(WIDE), events());
        let lane = lane_of(&queue, 1);
        let mut worker = serving(&queue, &lane);
        submit(&queue, &lane, 1).unwrap();
        let retirer = retires(&events, &queue, &lane);
        end(&queue, &mut worker);
        work(&queue, &mut worker, &lane, &events);
        retirer.join().unwrap();
        assert_notified_once(&events, &queue, &lane);
    });
}

#[test]
fn a_retired_lane_that_two_workers_serve_is_left_by_one_of_them() {
    explore(3, || {
        let (queue, events) = (queue(Limits { lane_workers: 2, ..WIDE }), events());
        let lane = lane_of(&queue, 1);
        let mut worker = serving(&queue, &lane);
        submit(&queue, &lane, 1).unwrap();
        let mut other = queue.worker(1);
        assert!(look(&queue, &mut other));
        retire(&events, &queue, &lane);
        let thread = {
            let (queue, lane, events) =
                (Arc::clone(&queue), Arc::clone(&lane), Arc::clone(&events));
            thread::spawn(move || {
                end(&queue, &mut other);
                work(&queue, &mut other, &lane, &events);
            })
        };
        end(&queue, &mut worker);
        work(&queue, &mut worker, &lane, &events);
        thread.join().unwrap();
        assert!(events.lock().waits);
        assert_notified_once(&events, &queue, &lane);
    });
}

#[test]
fn a_retired_lane_is_left_by_its_worker_or_by_who_discards_what_was_queued() {
    explore(3, || {
        let (queue, events) = (queue(WIDE), events());
        let lane = lane_of(&queue, 1);
        let mut worker = serving(&queue, &lane);
        submit(&queue, &lane, 1).unwrap();
        let item = queue.evict(&lane, &mut WakeList::default()).expect("it is queued");
        let retirer = retires(&events, &queue, &lane);
        let discarder = {
            let (queue, lane, events) =
                (Arc::clone(&queue), Arc::clone(&lane), Arc::clone(&events));
            thread::spawn(move || {
                let mut wake = WakeList::default();
                queue.finish_discarded(&lane, item.1, &mut wake);
                notified(&events, &lane, wake.left);
            })
        };
        end(&queue, &mut worker);
        work(&queue, &mut worker, &lane, &events);
        retirer.join().unwrap();
        discarder.join().unwrap();
        assert_notified_once(&events, &queue, &lane);
    });
}

#[test]
fn a_retired_lane_is_left_although_a_permit_was_held_for_a_moment() {
    explore(5, || {
        let (queue, events) = (queue(Limits { items: 0, ..WIDE }), events());
        let lane = lane_of(&queue, 1);
        let submitter = {
            let (queue, lane, events) =
                (Arc::clone(&queue), Arc::clone(&lane), Arc::clone(&events));
            thread::spawn(move || {
                let mut wake = WakeList::default();
                assert!(queue.submit(&lane, &mut Some(1), 1, &mut wake).is_err());
                notified(&events, &lane, wake.left);
            })
        };
        retire(&events, &queue, &lane);
        submitter.join().unwrap();
        assert_notified_once(&events, &queue, &lane);
    });
}

#[test]
fn a_lane_that_is_retired_and_cancelled_at_once_is_left_once() {
    explore(3, || {
        let (queue, events) = (queue(WIDE), events());
        let lane = lane_of(&queue, 1);
        let mut worker = serving(&queue, &lane);
        submit(&queue, &lane, 1).unwrap();
        let retirer = retires(&events, &queue, &lane);
        let canceller = {
            let (queue, lane, events) =
                (Arc::clone(&queue), Arc::clone(&lane), Arc::clone(&events));
            thread::spawn(move || {
                let mut wake = WakeList::default();
                let (items, _) = queue.cancel_lane(&lane, &mut wake);
                for (_, charge) in items {
                    queue.finish_discarded(&lane, charge, &mut wake);
                }
                notified(&events, &lane, wake.left);
            })
        };
        end(&queue, &mut worker);
        work(&queue, &mut worker, &lane, &events);
        retirer.join().unwrap();
        canceller.join().unwrap();
        assert_notified_once(&events, &queue, &lane);
    });
}

#[test]
fn a_retired_lane_is_left_although_a_newcomer_takes_its_place() {
    explore(5, || {
        let (queue, events) = (queue(Limits { lanes: 1, ..WIDE }), events());
        let lane = lane_of(&queue, 1);
        submit(&queue, &lane, 0).unwrap();
        let item = queue.evict(&lane, &mut WakeList::default()).expect("it is queued");
        let retirer = retires(&events, &queue, &lane);
        let newcomer = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || queue.lane(&2))
        };
        let mut wake = WakeList::default();
        queue.finish_discarded(&lane, item.1, &mut wake);
        notified(&events, &lane, wake.left);
        retirer.join().unwrap();
        let newcomer = newcomer.join().unwrap();
        if let Some(newcomer) = &newcomer {
            assert!(!newcomer.is_closed() && newcomer.number() == lane.number());
            let _ = queue.cancel_lane(newcomer, &mut WakeList::default());
        }
        assert_notified_once(&events, &queue, &lane);
    });
}
