//! An item that takes the place of another, while a worker looks for it.

use super::{work::ParkerSlot, *};

/// Replaces whatever is queued; returns how many items came back, and whether a worker is to be woken.
fn replace(queue: &Queue, lane: &OneLane) -> (usize, bool) {
    let mut wake = WakeList::default();
    let replaced = queue.replace(lane, &mut Some(9), 1, |_, _| true, || (), |own| wake.append(own));
    let found = replaced.map_or(0, |Replaced { others, .. }| {
        discard(queue, lane, &others);
        1 + others.len()
    });
    (found, wake.worker)
}

#[test]
fn what_is_replaced_and_a_worker_that_falls_asleep_do_not_rest_together() {
    explore(3, || {
        let queue = queue(WIDE);
        let lane = lane_of(&queue, 1);
        submit(&queue, &lane, 1).expect("there is capacity");
        let parker = ParkerSlot::new();
        let submitter = {
            let (queue, lane, parker) =
                (Arc::clone(&queue), Arc::clone(&lane), Arc::clone(&parker));
            thread::spawn(move || {
                let (replaced, wakes) = replace(&queue, &lane);
                if wakes {
                    parker.wake();
                }
                replaced
            })
        };
        let mut worker = queue.worker(1);
        let has_taken = parker.work(&queue, &mut worker);
        let replaced = submitter.join().unwrap();
        parker.assert_awake_or_idle(&queue, &mut worker, has_taken);
        assert_eq!(queue.admitted(), 1 + replaced as u64);
        assert_eq!(queue.in_flight(), 1, "a permit for each, or none too many");
    });
}

#[test]
fn what_replaces_another_and_what_comes_meanwhile_are_served_once_and_in_order() {
    explore(2, || {
        let queue = queue(WIDE);
        let lane = lane_of(&queue, 1);
        let mut worker = serving(&queue, &lane);
        submit(&queue, &lane, 1).expect("there is capacity");
        let replaces = {
            let (queue, lane) = (Arc::clone(&queue), Arc::clone(&lane));
            thread::spawn(move || replace(&queue, &lane).0)
        };
        let submits = {
            let (queue, lane) = (Arc::clone(&queue), Arc::clone(&lane));
            thread::spawn(move || submit(&queue, &lane, 2).expect("there is capacity"))
        };
        assert_eq!(end(&queue, &mut worker), 1);
        queue.put_down(&mut worker);
        let replaced = replaces.join().unwrap();
        submits.join().unwrap();
        let mut served = Vec::new();
        while look(&queue, &mut worker) {
            while let Some((item, charge)) = worker.pop() {
                served.push(item);
                queue.finish(&worker, charge);
            }
            queue.end_run(&mut worker, 1);
        }
        match replaced {
            // The other may have come before it looked, or after.
            1 => assert!(served == [9, 2] || served == [1, 9], "{served:?}"),
            2 => assert_eq!(served, [9]),
            other => panic!("{other} were replaced of {served:?}"),
        }
        assert_eq!((queue.in_flight(), queue.admitted()), (0, 4));
    });
}
