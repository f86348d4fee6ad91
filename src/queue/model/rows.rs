//! Items that are submitted together: found as one item is, within the bounds, and in nobody's way.

use super::{work::ParkerSlot, *};

#[test]
fn a_row_is_found_by_the_worker_of_its_lane_or_another_is_woken() {
    explore(5, || {
        let queue = queue(WIDE);
        let lane = lane_of(&queue, 1);
        let mut worker = serving(&queue, &lane);
        let submitter = {
            let (queue, lane) = (Arc::clone(&queue), Arc::clone(&lane));
            thread::spawn(move || submit_two(&queue, &lane, 1))
        };
        assert_eq!(end(&queue, &mut worker), 1);
        let found = look(&queue, &mut worker);
        let (count, wakes) = submitter.join().unwrap().expect("there is capacity");
        assert_eq!(count, 2);
        assert!(found || wakes, "nobody looks, and nobody is woken");
        if found {
            assert_eq!(end(&queue, &mut worker), 2);
        }
    });
}

#[test]
fn a_row_and_a_sleeping_worker_do_not_rest_together_while_another_evicts() {
    explore(3, || {
        let queue = queue(WIDE);
        let (a, b) = (lane_of(&queue, 1), lane_of(&queue, 2));
        // Somebody serves `b` for ever.
        let _busy = serving(&queue, &b);
        let parker = ParkerSlot::new();
        let submitter = {
            let (queue, parker) = (Arc::clone(&queue), Arc::clone(&parker));
            thread::spawn(move || {
                if submit_two(&queue, &a, 1).expect("there is capacity").1 {
                    parker.wake();
                }
            })
        };
        let other = {
            let (queue, parker) = (Arc::clone(&queue), Arc::clone(&parker));
            thread::spawn(move || {
                let mut wake = WakeList::default();
                queue.evict(&b, &mut wake);
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

/// A row that has two permits of its lane for a moment and gets one of the queue, or none, and a submitter to the lane
/// that goes to wait because of it, while what they want becomes free.
fn permits_that_a_row_holds_for_a_moment(limits: Limits, most: usize) {
    explore(3, move || {
        let queue = queue(limits);
        let (a, b) = (lane_of(&queue, 1), lane_of(&queue, 2));
        let mut worker = serving(&queue, &b);
        let row = {
            let (queue, a) = (Arc::clone(&queue), Arc::clone(&a));
            thread::spawn(move || submit_two(&queue, &a, 1).map_or(0, |(count, _)| count))
        };
        let waiter = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                if submit(&queue, &a, 3).is_err() {
                    wait(&queue, &a, 3).expect("it may wait");
                }
            })
        };
        end(&queue, &mut worker);
        let admitted = row.join().unwrap();
        waiter.join().unwrap();
        assert_let_in(&queue, most);
        assert_eq!(queue.in_flight(), admitted + 1 - queue.waiting());
        assert!(queue.in_flight() <= most && queue.bytes_in_flight() <= queue.in_flight());
    });
}

#[test]
fn permits_that_a_row_holds_for_a_moment_keep_nobody_waiting() {
    permits_that_a_row_holds_for_a_moment(Limits { items: 2, lane_items: 2, ..WIDE }, 2);
}

#[test]
fn permits_of_a_row_that_is_refused_keep_nobody_waiting() {
    permits_that_a_row_holds_for_a_moment(Limits { items: 1, lane_items: 2, ..WIDE }, 1);
}

#[test]
fn bytes_that_a_row_holds_for_a_moment_keep_nobody_waiting() {
    permits_that_a_row_holds_for_a_moment(
        Limits { bytes: Some(2), lane_bytes: Some(2), ..WIDE },
        2,
    );
}

#[test]
fn two_rows_and_a_worker_keep_the_bounds() {
    explore(3, || {
        let queue = queue(Limits { items: 2, ..WIDE });
        let (a, b) = (lane_of(&queue, 1), lane_of(&queue, 2));
        let mut worker = serving(&queue, &a);
        let submitters = [Arc::clone(&a), Arc::clone(&b)].map(|lane| {
            let queue = Arc::clone(&queue);
            thread::spawn(move || submit_two(&queue, &lane, 1).map_or(0, |(count, _)| count))
        });
        end(&queue, &mut worker);
        let admitted: usize =
            submitters.into_iter().map(|submitter| submitter.join().unwrap()).sum();
        assert!((1..=2).contains(&admitted), "{admitted}");
        assert_eq!((queue.in_flight(), queue.admitted()), (admitted, 1 + admitted as u64));
        let in_lanes = [a, b].map(|lane| lane.entrance.gate.entered() - lane.finished());
        assert_eq!(in_lanes.iter().sum::<u64>(), admitted as u64);
    });
}

#[test]
fn a_lane_is_removed_although_a_row_held_its_permits_for_a_moment() {
    explore(5, || {
        let queue = queue(Limits { items: 0, ..WIDE });
        let lane = lane_of(&queue, 1);
        let submitter = {
            let (queue, lane) = (Arc::clone(&queue), Arc::clone(&lane));
            thread::spawn(move || assert!(submit_two(&queue, &lane, 1).is_err()))
        };
        let _ = queue.retire_lane(&lane, &mut WakeList::default());
        submitter.join().unwrap();
        assert!(lane.is_left());
        assert_eq!(queue.schedule.lock().lanes(), 0, "a lane is left");
    });
}

/// The submitter's first item waits and is let in by another thread; its row comes meanwhile.
#[test]
fn an_item_that_is_let_in_comes_before_the_next_row_of_its_submitter() {
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
        let admitted = submit_two(&queue, &lane, 2).map_or(0, |(count, _)| count as u32);
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
        assert!(items.into_iter().eq(1..2 + admitted));
    });
}
