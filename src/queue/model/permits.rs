//! Permits that are filled, given back and revoked, each at the same time as something else.

use super::*;

/// A permit of this lane, which has capacity.
fn permit(queue: &Queue, lane: &OneLane) -> usize {
    let ticket = wait_for_permit(queue, lane).expect("it may wait");
    let waited = queue.poll_ticket(ticket, std::task::Waker::noop());
    assert!(matches!(waited, Waited::Admitted), "{waited:?}");
    ticket
}

fn wait_for_permit(queue: &Queue, lane: &OneLane) -> Result<usize, Denied> {
    queue.wait_for_permit(lane, &mut WakeList::default()).map(|(ticket, _)| ticket)
}

/// Ends a permit without an item, as a flow does.
fn leave(queue: &Queue, ticket: usize) {
    let mut wake = WakeList::default();
    if let Left::Permit(lane) = queue.leave_ticket(ticket, &mut wake) {
        queue.finish_discarded(&lane, 0, &mut wake);
    }
}

#[test]
fn a_permit_that_is_given_back_lets_in_one_who_waits() {
    explore(5, || {
        let queue = queue(Limits { items: 1, ..WIDE });
        let (a, b) = (lane_of(&queue, 1), lane_of(&queue, 2));
        let ticket = permit(&queue, &a);
        let waiter = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || assert!(wait(&queue, &b, 1).is_ok()))
        };
        leave(&queue, ticket);
        waiter.join().unwrap();
        assert_eq!((queue.waiting(), queue.in_flight()), (0, 1), "capacity, and somebody waits");
    });
}

#[test]
fn a_wait_for_a_permit_ends_as_an_item_finishes() {
    explore(5, || {
        let queue = queue(Limits { items: 1, ..WIDE });
        let (a, b) = (lane_of(&queue, 1), lane_of(&queue, 2));
        let mut worker = serving(&queue, &a);
        let waiter = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || wait_for_permit(&queue, &b).expect("it may wait"))
        };
        end(&queue, &mut worker);
        let ticket = waiter.join().unwrap();
        assert_eq!((queue.waiting(), queue.in_flight()), (0, 1));
        assert_eq!(queue.fill(ticket, 1, 1, &mut WakeList::default()), Ok(()));
        assert!(look(&queue, &mut worker) && worker.pop() == Some((1, 0)));
    });
}

#[test]
fn an_item_of_a_permit_is_found_by_a_worker_or_wakes_one() {
    explore(5, || {
        let queue = queue(WIDE);
        let lane = lane_of(&queue, 1);
        let ticket = permit(&queue, &lane);
        let mut worker = serving(&queue, &lane);
        let submitter = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                let mut wake = WakeList::default();
                assert_eq!(queue.fill(ticket, 1, 1, &mut wake), Ok(()));
                wake.worker
            })
        };
        end(&queue, &mut worker);
        let found = look(&queue, &mut worker);
        let wakes = submitter.join().unwrap();
        assert!(found || wakes, "an item, and nobody who looks for it");
        assert!(found || look(&queue, &mut worker));
        assert_eq!(worker.pop(), Some((1, 0)));
    });
}

/// A permit is filled as its lane or the queue ends: the item is admitted, or it comes back and the permit is given
/// back by the one who has ended it.
fn filled_as_it_is_revoked(revoke: fn(&Queue, &OneLane) -> (Vec<(u32, u32)>, usize)) {
    explore(4, move || {
        let queue = queue(WIDE);
        let lane = lane_of(&queue, 1);
        let ticket = permit(&queue, &lane);
        let submitter = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || queue.fill(ticket, 1, 1, &mut WakeList::default()).is_ok())
        };
        let (items, revoked) = revoke(&queue, &lane);
        let mut wake = WakeList::default();
        (0..items.len() + revoked).for_each(|_| queue.finish_discarded(&lane, 0, &mut wake));
        let filled = submitter.join().unwrap();
        assert_eq!(revoked, usize::from(!filled));
        let mut worker = queue.worker(0);
        if filled && items.is_empty() {
            assert!(look(&queue, &mut worker) && worker.pop() == Some((1, 0)));
            queue.finish(&worker, 0);
            end(&queue, &mut worker);
        }
        assert_eq!((queue.in_flight(), look(&queue, &mut worker)), (0, false));
        assert!(lane.is_left() || queue.is_over());
    });
}

#[test]
fn a_permit_is_filled_as_its_lane_is_retired() {
    filled_as_it_is_revoked(|queue, lane| {
        (Vec::new(), queue.retire_lane(lane, &mut WakeList::default()).revoked)
    });
}

#[test]
fn a_permit_is_filled_as_its_lane_is_cancelled() {
    filled_as_it_is_revoked(|queue, lane| {
        let (items, departed) = queue.cancel_lane(lane, &mut WakeList::default());
        (items, departed.revoked)
    });
}

#[test]
fn a_permit_is_filled_as_the_queue_closes() {
    filled_as_it_is_revoked(|queue, _| (Vec::new(), queue.close(&mut WakeList::default()).1.len()));
}

#[test]
fn who_tries_for_a_permit_and_takes_it_back_keeps_nobody_waiting() {
    explore(3, || {
        let queue = queue(Limits { items: 1, lane_items: 1, lane_waiters: 1, ..WIDE });
        let (a, b) = (lane_of(&queue, 1), lane_of(&queue, 2));
        let mut worker = serving(&queue, &b);
        let permit = {
            let (queue, a) = (Arc::clone(&queue), Arc::clone(&a));
            thread::spawn(move || wait_for_permit(&queue, &a).is_ok())
        };
        let waiter = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || submit(&queue, &a, 2).is_ok() || wait(&queue, &a, 2).is_ok())
        };
        end(&queue, &mut worker);
        let found = usize::from(permit.join().unwrap()) + usize::from(waiter.join().unwrap());
        // One may wait in the line, so one may have been turned away.
        assert!(found >= 1 && queue.in_flight() + queue.waiting() == found);
        assert_let_in(&queue, 1);
    });
}
