//! What several threads may do to each other, in all orders and with all that weak memory allows.
//!
//! The models run the code itself; what stands in for crossbeam's queue is in `sync::model`. Each says what must hold
//! once everything is at rest. The table says which models fail when a fence is removed:
//!
//! | fence | models that fail without it |
//! |---|---|
//! | `push` | `an_item_is_found_...`, `an_item_and_a_sleeping_worker_...` |
//! | `drain_all` | the same |
//! | `grant_locked` | `capacity_of_...`, `bytes_...`, `a_permit_...` |
//! | `publish` | the same, `whoever_finishes_...`, `whoever_discards_...`, `a_cancelled_lane_...`, `nothing_of_...` |
//! | `Sleep::notify`, `Sleep::before_last_look` | nearly all of `workers::model` |

use std::{
    sync::{Arc, atomic::Ordering as Order},
    time::Duration,
};

use loom::thread::{self, yield_now};

use super::*;
use crate::sync::{Tally, fence};

const WIDE: Limits = Limits {
    items: 4,
    lane_items: 4,
    bytes: None,
    lane_bytes: None,
    quantum: 1_000_000,
    lanes: 4,
    lane_waiters: 4,
    lane_workers: 1,
    workers: 2,
};

/// Nobody's patience ends in a model.
const FOR_EVER: Duration = Duration::from_secs(3_600);

type Queue = FairQueue<u32, u32>;
type OneLane = Arc<Lane<u32>>;
type OneWorker = Worker<u32, u32>;

/// Explores all orders in which the scheduler takes the processor away at most so often.
fn explore(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 20_000;
    builder.check(model);
}

fn queue(limits: Limits) -> Arc<Queue> {
    Arc::new(Queue::new(&limits))
}

fn lane_of(queue: &Queue, key: u32) -> OneLane {
    queue.lane(&key).expect("there may be one more lane")
}

/// Submits; returns whether a worker is to be woken.
fn submit(queue: &Queue, lane: &OneLane, item: u32) -> Result<bool, Denied> {
    let mut wake = WakeList::default();
    queue.submit(lane, &mut Some(item), 1, &mut wake).map(|()| wake.worker)
}

fn wait(queue: &Queue, lane: &OneLane, item: u32) -> Result<usize, Denied> {
    queue.wait(lane, item, 1, &mut WakeList::default()).map_err(|(_, denied)| denied)
}

/// Looks for work; true if there is some.
fn look(queue: &Queue, worker: &mut OneWorker) -> bool {
    loop {
        match queue.take(worker) {
            Take::Run { .. } => return true,
            Take::Empty => return false,
            // A worker yields and looks again: the same, without the turns in vain.
            Take::Busy => drop(queue.schedule.lock()),
        }
    }
}

/// Finishes a run and lets in who waits, as a worker does.
fn end(queue: &Queue, worker: &mut OneWorker) -> usize {
    let mut items = 0;
    while let Some((_, charge)) = worker.pop() {
        queue.finish(worker, charge);
        items += 1;
    }
    queue.end_run(worker, 1);
    if queue.has_waiters() {
        queue.grant(Some(&Arc::clone(worker.lane())), &mut WakeList::default());
    }
    items
}

fn discard(queue: &Queue, lane: &OneLane, items: &[(u32, u32)]) {
    for &(_, charge) in items {
        queue.finish_discarded(lane, charge, &mut WakeList::default());
    }
}

/// A worker in the middle of a run of one item.
fn serving(queue: &Queue, lane: &OneLane) -> OneWorker {
    submit(queue, lane, 0).expect("there is capacity");
    let mut worker = queue.worker(0);
    assert!(look(queue, &mut worker));
    worker
}

/// Capacity and somebody who waits for it do not rest together.
fn assert_let_in(queue: &Queue, items: usize) {
    assert!(queue.waiting() == 0 || queue.in_flight() >= items, "capacity, and somebody waits");
}

// ---- an item and a worker ----

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
struct Bed {
    sleeps: AtomicBool,
    woken: AtomicBool,
}

impl Bed {
    fn new() -> Arc<Self> {
        Arc::new(Self { sleeps: AtomicBool::new(false), woken: AtomicBool::new(false) })
    }

    /// Looks, and falls asleep if there is nothing; true if it has taken a run.
    fn work(&self, queue: &Queue, worker: &mut OneWorker) -> bool {
        if look(queue, worker) {
            return true;
        }
        self.sleeps.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        queue.is_ready() && look(queue, worker)
    }

    /// Wakes, as `Sleep::notify` does.
    fn wake(&self) {
        fence(Ordering::SeqCst);
        if self.sleeps.load(Ordering::Relaxed) {
            self.woken.store(true, Ordering::Relaxed);
        }
    }

    fn assert_awake_or_idle(&self, queue: &Queue, worker: &mut OneWorker, has_taken: bool) {
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
        let bed = Bed::new();
        let submitter = {
            let (queue, bed) = (Arc::clone(&queue), Arc::clone(&bed));
            thread::spawn(move || {
                if submit(&queue, &a, 1).expect("there is capacity") {
                    bed.wake();
                }
            })
        };
        let other = {
            let (queue, bed) = (Arc::clone(&queue), Arc::clone(&bed));
            thread::spawn(move || {
                let mut wake = WakeList::default();
                meanwhile(&queue, &b, &mut wake);
                if wake.worker {
                    bed.wake();
                }
            })
        };
        let mut worker = queue.worker(1);
        let has_taken = bed.work(&queue, &mut worker);
        submitter.join().unwrap();
        other.join().unwrap();
        bed.assert_awake_or_idle(&queue, &mut worker, has_taken);
    });
}

#[test]
fn an_item_and_a_sleeping_worker_do_not_rest_together_while_another_evicts() {
    items_and_a_worker_that_falls_asleep(|queue, lane, wake| drop(queue.evict(lane, wake)));
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
                // Whoever has ended a run looks once more.
                assert!(worker.ended.is_none() || !look(&queue, &mut worker));
            }
        };
        let other = thread::spawn(work(1));
        work(0)();
        other.join().unwrap();
        assert_eq!((next.load(Order::SeqCst), queue.in_flight()), (2, 0));
    });
}

// ---- the end ----

#[test]
fn whoever_finishes_the_last_item_or_whoever_closes_sees_that_the_queue_is_over() {
    explore(5, || {
        let queue = queue(WIDE);
        let lane = lane_of(&queue, 1);
        let mut worker = serving(&queue, &lane);
        let closer = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                queue.close(&mut WakeList::default());
                queue.is_over()
            })
        };
        end(&queue, &mut worker);
        let seen = queue.is_over();
        assert!(closer.join().unwrap() || seen, "nobody has seen it");
    });
}

#[test]
fn whoever_discards_the_last_item_or_whoever_closes_sees_that_the_queue_is_over() {
    explore(5, || {
        let queue = queue(WIDE);
        let lane = lane_of(&queue, 1);
        submit(&queue, &lane, 0).unwrap();
        let item = queue.evict(&lane, &mut WakeList::default()).expect("it is queued");
        let closer = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                queue.close(&mut WakeList::default());
                queue.is_over()
            })
        };
        discard(&queue, &lane, &[item]);
        let seen = queue.is_over();
        assert!(closer.join().unwrap() || seen, "nobody has seen it");
    });
}

#[test]
fn nothing_enters_a_queue_that_is_over() {
    explore(5, || {
        let queue = queue(WIDE);
        let lane = lane_of(&queue, 1);
        let submitter = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || submit(&queue, &lane, 1))
        };
        queue.close(&mut WakeList::default());
        let is_over = queue.is_over();
        let submitted = submitter.join().unwrap();
        assert!(submitted.is_ok() != is_over, "{submitted:?}, over: {is_over}");
    });
}

// ---- capacity and somebody who waits ----

fn capacity_and_a_waiter(limits: Limits, keys: [u32; 2]) {
    explore(5, move || {
        let queue = queue(limits);
        let (a, b) = (lane_of(&queue, keys[0]), lane_of(&queue, keys[1]));
        let mut worker = serving(&queue, &a);
        let waiter = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || assert!(wait(&queue, &b, 1).is_ok()))
        };
        end(&queue, &mut worker);
        waiter.join().unwrap();
        assert_eq!((queue.waiting(), queue.in_flight()), (0, 1), "capacity, and somebody waits");
        assert!(!queue.signals.blocked.load(Ordering::Relaxed));
        assert!(look(&queue, &mut worker), "it was let in, and is not there");
    });
}

#[test]
fn capacity_of_the_queue_and_somebody_who_waits_do_not_rest_together() {
    capacity_and_a_waiter(Limits { items: 1, ..WIDE }, [1, 2]);
}

#[test]
fn capacity_of_a_lane_and_somebody_who_waits_do_not_rest_together() {
    capacity_and_a_waiter(Limits { lane_items: 1, ..WIDE }, [1, 1]);
}

#[test]
fn bytes_and_somebody_who_waits_for_them_do_not_rest_together() {
    capacity_and_a_waiter(Limits { bytes: Some(1), ..WIDE }, [1, 2]);
    capacity_and_a_waiter(Limits { lane_bytes: Some(1), ..WIDE }, [1, 1]);
}

#[test]
fn capacity_of_an_item_that_was_evicted_and_somebody_who_waits_do_not_rest_together() {
    explore(5, || {
        let queue = queue(Limits { items: 1, ..WIDE });
        let (a, b) = (lane_of(&queue, 1), lane_of(&queue, 2));
        submit(&queue, &a, 0).unwrap();
        let item = queue.evict(&a, &mut WakeList::default()).expect("it is queued");
        let waiter = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || assert!(wait(&queue, &b, 1).is_ok()))
        };
        discard(&queue, &a, &[item]);
        waiter.join().unwrap();
        assert_eq!((queue.waiting(), queue.in_flight()), (0, 1), "capacity, and somebody waits");
    });
}

#[test]
fn whoever_is_let_in_as_he_gives_up_takes_nobodys_place() {
    explore(5, || {
        let queue = queue(Limits { items: 1, ..WIDE });
        let (a, b) = (lane_of(&queue, 1), lane_of(&queue, 2));
        let mut worker = serving(&queue, &a);
        let ticket = wait(&queue, &a, 1).unwrap();
        wait(&queue, &b, 2).unwrap();
        let leaver = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || queue.leave_ticket(ticket, &mut WakeList::default()))
        };
        end(&queue, &mut worker);
        let (item, waited) = leaver.join().unwrap();
        assert!(item == waited.then_some(1));
        assert_eq!((queue.in_flight(), queue.waiting()), (1, usize::from(!waited)));
        assert!(look(&queue, &mut worker));
        assert_eq!(worker.pop(), Some((if waited { 2 } else { 1 }, 0)));
        queue.finish(&worker, 0);
        end(&queue, &mut worker);
        assert_let_in(&queue, 1);
    });
}

/// A submitter that has a lane's permit for a moment and gives it back, and one that goes to wait because of it, while
/// what they wanted becomes free.
fn a_permit_that_is_held_for_a_moment(limits: Limits) {
    explore(3, move || {
        let queue = queue(limits);
        let (a, b) = (lane_of(&queue, 1), lane_of(&queue, 2));
        let mut worker = serving(&queue, &b);
        let refused = {
            let (queue, a) = (Arc::clone(&queue), Arc::clone(&a));
            thread::spawn(move || submit(&queue, &a, 1).is_ok())
        };
        let waiter = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                if submit(&queue, &a, 2).is_err() {
                    wait(&queue, &a, 2).expect("it may wait");
                }
            })
        };
        end(&queue, &mut worker);
        refused.join().unwrap();
        waiter.join().unwrap();
        assert_let_in(&queue, 1);
        assert!(queue.in_flight() == 1);
    });
}

#[test]
fn a_permit_that_is_held_for_a_moment_keeps_nobody_waiting() {
    a_permit_that_is_held_for_a_moment(Limits { items: 1, lane_items: 1, ..WIDE });
}

#[test]
fn bytes_that_are_held_for_a_moment_keep_nobody_waiting() {
    a_permit_that_is_held_for_a_moment(Limits { bytes: Some(1), lane_bytes: Some(1), ..WIDE });
}

#[test]
fn two_submitters_and_a_worker_keep_the_bound() {
    explore(3, || {
        let queue = queue(Limits { items: 1, ..WIDE });
        let (a, b) = (lane_of(&queue, 1), lane_of(&queue, 2));
        let mut worker = serving(&queue, &a);
        let submitters = [a, b].map(|lane| {
            let queue = Arc::clone(&queue);
            thread::spawn(move || usize::from(submit(&queue, &lane, 1).is_ok()))
        });
        let before = queue.in_flight();
        end(&queue, &mut worker);
        let admitted: usize =
            submitters.into_iter().map(|submitter| submitter.join().unwrap()).sum();
        assert!(before == 1 && admitted <= 1);
        assert_eq!(queue.in_flight(), admitted);
    });
}

/// One thread runs the last item; another sees `gone` come true, and with it what the item did.
fn what_an_item_did(limits: Limits, gone: fn(&Queue, &OneLane) -> bool) {
    explore(5, move || {
        let queue = queue(limits);
        let lane = lane_of(&queue, 1);
        let mut worker = serving(&queue, &lane);
        lane.service.cancelled.store(true, Ordering::Relaxed);
        let done = Arc::new(AtomicBool::new(false));
        let observer = {
            let (queue, done) = (Arc::clone(&queue), Arc::clone(&done));
            thread::spawn(move || {
                if gone(&queue, &lane) {
                    assert!(done.load(Ordering::Relaxed), "what it did is not seen");
                }
            })
        };
        done.store(true, Ordering::Relaxed);
        end(&queue, &mut worker);
        queue.put_down(&mut worker);
        observer.join().unwrap();
    });
}

#[test]
fn whoever_sees_an_item_finished_sees_what_it_did() {
    what_an_item_did(WIDE, |queue, _| queue.in_flight() == 0);
    what_an_item_did(WIDE, |_, lane| lane.finished() == 1);
    what_an_item_did(Limits { items: 1, ..WIDE }, |queue, lane| submit(queue, lane, 1).is_ok());
    what_an_item_did(Limits { lane_items: 1, ..WIDE }, |queue, lane| {
        submit(queue, lane, 1).is_ok()
    });
}

#[test]
fn whoever_sees_the_last_worker_of_a_lane_gone_sees_what_it_did() {
    what_an_item_did(WIDE, |_, lane| lane.wait_until_left(FOR_EVER));
}

// ---- lanes that go ----

#[test]
fn a_lane_that_is_given_up_for_a_newcomer_takes_nothing_with_it() {
    explore(5, || {
        let queue = queue(Limits { lanes: 1, ..WIDE });
        let a = lane_of(&queue, 1);
        let submitter = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || submit(&queue, &a, 1))
        };
        let newcomer = queue.lane(&2);
        match submitter.join().unwrap() {
            Ok(wakes) => {
                assert!(wakes && newcomer.is_none());
                let mut worker = queue.worker(0);
                assert!(look(&queue, &mut worker) && *worker.lane().key() == 1);
            }
            Err(denied) => {
                assert_eq!(denied, Denied::LaneClosed);
                assert_eq!(newcomer.expect("it has the place").number(), 0);
                assert!(queue.with_lane(&1, |lane| lane.is_none()));
            }
        }
    });
}

#[test]
fn a_lane_that_is_given_up_for_a_newcomer_has_nobody_in_its_line() {
    explore(5, || {
        let queue = queue(Limits { lanes: 1, items: 0, ..WIDE });
        let a = lane_of(&queue, 1);
        let waiter = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || wait(&queue, &a, 1))
        };
        let newcomer = queue.lane(&2);
        let waited = waiter.join().unwrap();
        assert_eq!(
            (waited.is_ok(), queue.waiting()),
            (newcomer.is_none(), usize::from(waited.is_ok()))
        );
    });
}

#[test]
fn a_lane_goes_to_a_newcomer_after_its_last_item_only() {
    explore(5, || {
        let queue = queue(Limits { lanes: 1, ..WIDE });
        let a = lane_of(&queue, 1);
        let mut worker = serving(&queue, &a);
        let newcomer = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                let lane = queue.lane(&2)?;
                assert_eq!(queue.in_flight(), 0, "it was in use");
                Some(submit(&queue, &lane, 2))
            })
        };
        end(&queue, &mut worker);
        let found = look(&queue, &mut worker);
        if found {
            assert_eq!(*worker.lane().key(), 2);
        }
        if let Some(submitted) = newcomer.join().unwrap() {
            assert_eq!(submitted, Ok(true));
            assert!(found || look(&queue, &mut worker));
        }
    });
}

#[test]
fn nothing_of_a_cancelled_lane_starts_once_its_last_worker_has_left_and_nothing_is_lost() {
    explore(2, || {
        let queue = queue(WIDE);
        let a = lane_of(&queue, 1);
        submit(&queue, &a, 0).unwrap();
        let has_left = Arc::new(Tally::new(0));
        let canceller = {
            let (queue, a, has_left) = (Arc::clone(&queue), Arc::clone(&a), Arc::clone(&has_left));
            thread::spawn(move || {
                let (items, _) = queue.cancel_lane(&a, &mut WakeList::default());
                assert!(a.wait_until_left(FOR_EVER));
                has_left.store(1, Order::SeqCst);
                discard(&queue, &a, &items);
                items.len()
            })
        };
        let submitter = {
            let (queue, a) = (Arc::clone(&queue), Arc::clone(&a));
            thread::spawn(move || usize::from(submit(&queue, &a, 1).is_ok()))
        };
        let mut worker = queue.worker(0);
        let mut taken = 0;
        let mut work = |worker: &mut OneWorker| {
            while look(&queue, worker) {
                while let Some((_, charge)) = worker.pop() {
                    if !worker.lane().is_cancelled() {
                        assert_eq!(
                            has_left.load(Order::SeqCst),
                            0,
                            "it starts after all have left"
                        );
                    }
                    taken += 1;
                    queue.finish(worker, charge);
                }
                queue.end_run(worker, 1);
            }
        };
        work(&mut worker);
        let submitted = submitter.join().unwrap();
        let cancelled = canceller.join().unwrap();
        work(&mut worker);
        assert_eq!(taken + cancelled, 1 + submitted);
        assert_eq!((queue.in_flight(), queue.schedule.lock().lanes()), (0, 0), "a lane is left");
    });
}

#[test]
fn a_cancelled_lane_is_removed_by_one_of_the_last_two_who_let_go_of_it() {
    explore(5, || {
        let queue = queue(WIDE);
        let a = lane_of(&queue, 1);
        let mut worker = serving(&queue, &a);
        submit(&queue, &a, 1).unwrap();
        let canceller = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                let (items, _) = queue.cancel_lane(&a, &mut WakeList::default());
                discard(&queue, &a, &items);
            })
        };
        end(&queue, &mut worker);
        if look(&queue, &mut worker) {
            end(&queue, &mut worker);
            assert!(!look(&queue, &mut worker));
        }
        canceller.join().unwrap();
        assert_eq!((queue.in_flight(), queue.schedule.lock().lanes()), (0, 0), "a lane is left");
    });
}

#[test]
fn a_cancelled_lane_is_removed_by_its_last_worker_or_whoever_takes_a_permit_back() {
    explore(5, || {
        let queue = queue(WIDE);
        let a = lane_of(&queue, 1);
        let mut worker = serving(&queue, &a);
        // A submitter that has the lane's permit and does not get the queue's.
        a.entrance.gate.enter(4, || 0).unwrap();
        queue.cancel_lane(&a, &mut WakeList::default());
        let submitter = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || queue.undo(&a, 0))
        };
        end(&queue, &mut worker);
        assert!(!look(&queue, &mut worker));
        submitter.join().unwrap();
        assert_eq!(queue.schedule.lock().lanes(), 0, "a lane is left");
    });
}

#[test]
fn a_cancelled_lane_is_removed_although_a_permit_was_held_for_a_moment() {
    explore(5, || {
        let queue = queue(Limits { items: 0, ..WIDE });
        let a = lane_of(&queue, 1);
        let submitter = {
            let (queue, a) = (Arc::clone(&queue), Arc::clone(&a));
            thread::spawn(move || assert!(submit(&queue, &a, 1).is_err()))
        };
        queue.cancel_lane(&a, &mut WakeList::default());
        submitter.join().unwrap();
        assert_eq!(queue.schedule.lock().lanes(), 0, "a lane is left");
    });
}

#[test]
fn who_waits_in_a_lane_that_is_cancelled_is_refused_and_nobody_else() {
    explore(5, || {
        let queue = queue(Limits { items: 0, lanes: 1, ..WIDE });
        let a = lane_of(&queue, 1);
        wait(&queue, &a, 1).unwrap();
        let canceller = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || queue.cancel_lane(&a, &mut WakeList::default()).1)
        };
        let waits = match queue.lane(&2) {
            Some(lane) => usize::from(wait(&queue, &lane, 2).is_ok()),
            None => 0,
        };
        assert_eq!((canceller.join().unwrap(), queue.waiting()), (1, waits));
        let waited = queue.poll_ticket(0, std::task::Waker::noop());
        assert!(matches!(waited, Waited::Refused(1, Refusal::Cancelled)), "{waited:?}");
    });
}

#[test]
fn whoever_waits_as_the_queue_closes_is_let_in_or_refused() {
    explore(5, || {
        let queue = queue(Limits { items: 1, ..WIDE });
        let a = lane_of(&queue, 1);
        let mut worker = serving(&queue, &a);
        let waiter = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || wait(&queue, &a, 1))
        };
        let closer = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || queue.close(&mut WakeList::default()))
        };
        end(&queue, &mut worker);
        let ticket = waiter.join().unwrap();
        let refused = closer.join().unwrap();
        assert_eq!(queue.waiting(), 0);
        let admitted = queue.in_flight();
        match ticket {
            Ok(_) => assert_eq!(admitted + refused, 1),
            Err(denied) => assert_eq!((denied, admitted, refused), (Denied::Closed, 0, 0)),
        }
    });
}
