//! Capacity and somebody who waits for it do not rest together.

use super::*;

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

/// A waiter finds the last permit free, and an earlier submitter takes it.
#[test]
fn who_waits_while_another_takes_the_last_permit_is_let_in_by_its_end() {
    explore(3, || {
        let queue = queue(Limits { items: 1, ..WIDE });
        let (a, b) = (lane_of(&queue, 1), lane_of(&queue, 2));
        let other = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || usize::from(submit(&queue, &a, 1).is_ok()))
        };
        assert!(wait(&queue, &b, 2).is_ok());
        let submitted = other.join().unwrap();
        let mut worker = queue.worker(0);
        let mut items = 0;
        while look(&queue, &mut worker) {
            items += end(&queue, &mut worker);
        }
        assert_eq!((items, queue.waiting()), (submitted + 1, 0), "capacity, and somebody waits");
    });
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
fn a_waiter_let_in_as_it_gives_up_takes_nobodys_place() {
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
        let waited = match leaver.join().unwrap() {
            Left::Wait(Some(1), _) => true,
            Left::Nothing(None) => false,
            left => panic!("{left:?}"),
        };
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
        lane.service.departs.store(true, Ordering::Relaxed);
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
fn who_sees_an_item_finished_sees_what_it_did() {
    what_an_item_did(WIDE, |queue, _| queue.in_flight() == 0);
    for lane_workers in [1, 2] {
        what_an_item_did(Limits { lane_workers, ..WIDE }, |_, lane| lane.finished() == 1);
    }
    what_an_item_did(Limits { items: 1, ..WIDE }, |queue, lane| submit(queue, lane, 1).is_ok());
    what_an_item_did(Limits { lane_items: 1, ..WIDE }, |queue, lane| {
        submit(queue, lane, 1).is_ok()
    });
}

#[test]
fn who_sees_the_last_worker_of_a_lane_gone_sees_what_it_did() {
    what_an_item_did(WIDE, |_, lane| lane.wait_until_left(FOR_EVER));
}

#[test]
fn who_sees_a_discarded_item_finished_sees_what_it_did() {
    let gone: [fn(&Queue, &OneLane) -> bool; 2] =
        [|queue, _| queue.in_flight() == 0, |_, lane| lane.finished() == 1];
    for gone in gone {
        explore(5, move || {
            let queue = queue(WIDE);
            let lane = lane_of(&queue, 1);
            submit(&queue, &lane, 0).unwrap();
            let mut wake = WakeList::default();
            let (_, charge) = queue.evict(&lane, &mut wake).expect("it is queued");
            let done = Arc::new(AtomicBool::new(false));
            let observer = {
                let (queue, lane, done) =
                    (Arc::clone(&queue), Arc::clone(&lane), Arc::clone(&done));
                thread::spawn(move || {
                    if gone(&queue, &lane) {
                        assert!(done.load(Ordering::Relaxed), "what it did is not seen");
                    }
                })
            };
            done.store(true, Ordering::Relaxed);
            queue.finish_discarded(&lane, charge, &mut wake);
            observer.join().unwrap();
        });
    }
}

/// The submitter's first item waits and is let in by another thread; its second comes meanwhile.
#[test]
fn an_item_that_is_let_in_comes_before_the_next_of_its_submitter() {
    explore(5, || {
        let queue = queue(Limits { lane_items: 1, ..WIDE });
        let lane = lane_of(&queue, 1);
        let mut worker = serving(&queue, &lane);
        assert!(wait(&queue, &lane, 1).is_ok());
        let grower = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                queue.set_limits(&WIDE);
                queue.grant_all(&mut WakeList::default());
            })
        };
        let is_in = submit(&queue, &lane, 2).is_ok();
        grower.join().unwrap();
        let mut items = Vec::new();
        end(&queue, &mut worker);
        while look(&queue, &mut worker) {
            while let Some((item, charge)) = worker.pop() {
                items.push(item);
                queue.finish(&worker, charge);
            }
            queue.end_run(&mut worker, 1);
        }
        assert_eq!(items, if is_in { vec![1, 2] } else { vec![1] });
    });
}
