//! An item and a worker that falls asleep: one finds the other.

use super::*;

#[test]
fn an_item_is_found_by_the_worker_of_its_lane_or_another_is_woken() {
    explore(5, || {
        let queue = queue(WIDE);
        let lane = lane_of(&queue, 1);
        let mut worker = serving(&queue, &lane);
        let submitter = {
            let (queue, lane) = (Arc::clone(&queue), Arc::clone(&lane));
            thread::spawn(move || submit(&queue, &lane, 1))
        };
        assert_eq!(end(&queue, &mut worker), 1);
        let found = look(&queue, &mut worker);
        let wakes = submitter.join().unwrap().expect("there is capacity");
        assert!(found || wakes, "nobody looks, and nobody is woken");
        if found {
            assert_eq!(end(&queue, &mut worker), 1);
        }
    });
}

/// Where a worker sleeps, as `workers::sleep` has it.
#[derive(Debug)]
pub(super) struct ParkerSlot {
    sleeps: AtomicBool,
    woken: AtomicBool,
}

impl ParkerSlot {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { sleeps: AtomicBool::new(false), woken: AtomicBool::new(false) })
    }

    /// Looks, and falls asleep if there is nothing; true if it has taken a run.
    pub(super) fn work(&self, queue: &Queue, worker: &mut OneWorker) -> bool {
        if look(queue, worker) {
            return true;
        }
        self.sleeps.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        queue.is_ready() && look(queue, worker)
    }

    /// Wakes, as `Sleep::notify` does.
    pub(super) fn wake(&self) {
        fence(Ordering::SeqCst);
        if self.sleeps.load(Ordering::Relaxed) {
            self.woken.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn assert_awake_or_idle(
        &self,
        queue: &Queue,
        worker: &mut OneWorker,
        has_taken: bool,
    ) {
        if has_taken || self.woken.load(Ordering::Relaxed) {
            return;
        }
        assert!(!look(queue, worker), "the worker sleeps and there is work");
    }
}

fn items_and_a_worker_that_falls_asleep(meanwhile: fn(&Queue, &OneLane, &mut WakeList)) {
    explore(3, move || {
        let queue = queue(Limits { items: 1, ..WIDE });
        // The inbox has one slot.
        queue.set_limits(&WIDE);
        let (a, b) = (lane_of(&queue, 1), lane_of(&queue, 2));
        // Somebody serves `b` for ever.
        let _busy = serving(&queue, &b);
        let parker = ParkerSlot::new();
        let submitter = {
            let (queue, parker) = (Arc::clone(&queue), Arc::clone(&parker));
            thread::spawn(move || {
                if submit(&queue, &a, 1).expect("there is capacity") {
                    parker.wake();
                }
            })
        };
        let other = {
            let (queue, parker) = (Arc::clone(&queue), Arc::clone(&parker));
            thread::spawn(move || {
                let mut wake = WakeList::default();
                meanwhile(&queue, &b, &mut wake);
                if wake.worker {
                    parker.wake();
                }
            })
        };
        let mut worker = queue.worker(1);
        let has_taken = parker.work(&queue, &mut worker);
        submitter.join().unwrap();
        other.join().unwrap();
        parker.assert_awake_or_idle(&queue, &mut worker, has_taken);
    });
}

#[test]
fn an_item_and_a_sleeping_worker_do_not_rest_together_while_another_evicts() {
    items_and_a_worker_that_falls_asleep(|queue, lane, wake| _ = queue.evict(lane, wake));
}

#[test]
fn an_item_and_a_sleeping_worker_do_not_rest_together_while_another_finds_the_inbox_full() {
    items_and_a_worker_that_falls_asleep(|queue, lane, wake| {
        assert_eq!(queue.submit(lane, &mut Some(2), 1, wake), Ok(()));
    });
}

#[test]
fn an_item_and_a_sleeping_worker_do_not_rest_together_while_another_cancels() {
    items_and_a_worker_that_falls_asleep(|queue, lane, wake| {
        assert!(queue.cancel_lane(lane, wake).0.is_empty());
    });
}

#[test]
fn one_worker_serves_a_lane_at_a_time_and_nothing_is_lost_or_taken_twice() {
    explore(3, || {
        let queue = queue(WIDE);
        let lane = lane_of(&queue, 1);
        assert!((0..2).all(|item| submit(&queue, &lane, item).is_ok()));
        let (serves, next) = (Arc::new(Tally::new(0)), Arc::new(Tally::new(0)));
        let work = |index| {
            let queue = Arc::clone(&queue);
            let (serves, next) = (Arc::clone(&serves), Arc::clone(&next));
            move || {
                let mut worker = queue.worker(index);
                for _ in 0..2 {
                    if look(&queue, &mut worker) {
                        assert_eq!(serves.swap(1, Order::SeqCst), 0, "two serve one lane");
                        while let Some((item, charge)) = worker.pop() {
                            assert_eq!(u64::from(item), next.fetch_add(1, Order::SeqCst));
                            yield_now();
                            queue.finish(&worker, charge);
                        }
                        serves.store(0, Order::SeqCst);
                        queue.end_run(&mut worker, 1);
                    }
                }
                // A worker that has ended a run looks once more.
                assert!(worker.ended.is_none() || !look(&queue, &mut worker));
            }
        };
        let other = thread::spawn(work(1));
        work(0)();
        other.join().unwrap();
        assert_eq!((next.load(Order::SeqCst), queue.in_flight()), (2, 0));
    });
}
