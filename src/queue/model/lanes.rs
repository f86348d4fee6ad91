//! Lanes that go: given up for a newcomer, or cancelled.

use super::*;

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
fn a_cancelled_lane_is_removed_by_its_last_worker_or_by_who_takes_a_permit_back() {
    explore(5, || {
        let queue = queue(WIDE);
        let a = lane_of(&queue, 1);
        let mut worker = serving(&queue, &a);
        // A submitter that has the lane's permit and does not get the queue's.
        a.entrance.gate.enter(4, 1, || 0).unwrap();
        let _ = queue.cancel_lane(&a, &mut WakeList::default());
        let submitter = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || queue.undo(&a, 1, &mut WakeList::default()))
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
        let _ = queue.cancel_lane(&a, &mut WakeList::default());
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
            thread::spawn(move || queue.cancel_lane(&a, &mut WakeList::default()).1.refused)
        };
        let waits = match queue.lane(&2) {
            Some(lane) => usize::from(wait(&queue, &lane, 2).is_ok()),
            None => 0,
        };
        assert_eq!((canceller.join().unwrap(), queue.waiting()), (1, waits));
        let waited = queue.poll_ticket(0, std::task::Waker::noop());
        assert!(matches!(waited, Waited::Refused(Some(1), Refusal::Cancelled)), "{waited:?}");
    });
}

#[test]
fn a_waiter_as_the_queue_closes_is_let_in_or_refused() {
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
        let (refused, _) = closer.join().unwrap();
        assert_eq!(queue.waiting(), 0);
        let admitted = queue.in_flight();
        match ticket {
            Ok(_) => assert_eq!(admitted + refused, 1),
            Err(denied) => assert_eq!((denied, admitted, refused), (Denied::Closed, 0, 0)),
        }
    });
}
