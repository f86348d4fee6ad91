//! Items that take the place of others of their lane.

use std::cell::RefCell;

use super::*;

/// Replaces what leaves the same remainder; returns what came back, first and others.
fn replace(queue: &Queue, lane: &Arc<Lane<u32>>, item: u32, modulus: u32) -> Option<Vec<u32>> {
    replace_by(queue, lane, item, 1, |newer, older| newer % modulus == older % modulus)
}

fn replace_by(
    queue: &Queue,
    lane: &Arc<Lane<u32>>,
    item: u32,
    bytes: u32,
    supersedes: impl Fn(&u32, &u32) -> bool,
) -> Option<Vec<u32>> {
    let (mut wake, mut place) = (WakeList::default(), Some(item));
    let counted = std::cell::Cell::new(0);
    let count = || counted.set(counted.get() + 1);
    let replaced =
        queue.replace(lane, &mut place, bytes, supersedes, count, |own| wake.append(own));
    queue.schedule.lock().assert_whole();
    assert_eq!(place, replaced.is_none().then_some(item));
    assert_eq!(counted.get(), u32::from(replaced.is_some()));
    let Replaced { first, others } = replaced?;
    let mut items = vec![first];
    for (other, charge) in others {
        items.push(other);
        queue.finish_discarded(lane, charge, &mut wake);
    }
    Some(items)
}

#[test]
fn an_item_takes_the_place_of_the_oldest_that_it_replaces_and_the_others_go() {
    let queue = Queue::new(&Limits { items: 7, ..WIDE });
    let (a, b) = (lane_of(&queue, 1), lane_of(&queue, 2));
    (0..6).for_each(|item| _ = submit(&queue, &a, item).unwrap());
    submit(&queue, &b, 100).unwrap();
    assert_eq!(submit(&queue, &a, 7), Err(Denied::Full));
    assert_eq!(replace(&queue, &a, 7, 3), Some(vec![1, 4]));
    assert_eq!((queue.in_flight(), queue.admitted(), queue.finished()), (6, 8, 1));
    assert_eq!(replace(&queue, &a, 8, 100), None, "it replaces none");
    assert_eq!(replace(&queue, &b, 9, 1), Some(vec![100]), "and none of another lane");
    let mut worker = queue.worker(0);
    let mut all = Vec::new();
    for _ in 0..9 {
        all.extend(serve(&queue, &mut worker, 1));
    }
    assert_eq!(all, [0, 9, 7, 2, 3, 5]);
    assert_eq!((queue.in_flight(), queue.admitted(), queue.finished()), (0, 9, 7));
}

#[test]
fn items_are_replaced_wherever_they_lie_in_the_chunks_of_their_lane() {
    for (count, modulus) in [(1, 1), (40, 1), (100, 2), (100, 33), (200, 1), (96, 95), (64, 63)] {
        let queue = Queue::new(&WIDE);
        let lane = lane_of(&queue, 1);
        let mut plain: Vec<u32> = (0..count).collect();
        for item in &plain {
            submit(&queue, &lane, *item).unwrap();
        }
        for newer in [count, count + 1, count + 2, count + 40] {
            let is = |older: &u32| newer % modulus == older % modulus;
            let expected: Vec<u32> = plain.iter().copied().filter(is).collect();
            let found = replace(&queue, &lane, newer, modulus).unwrap_or_default();
            let (first, others) = found.split_first().expect("there is always one");
            assert_eq!(*first, expected[0]);
            assert!(others.iter().rev().eq(&expected[1..]));
            let place = plain.iter().position(is).unwrap();
            plain.retain(|older| !is(older));
            plain.insert(place, newer);
            plain.push(newer + 1_000);
            submit(&queue, &lane, newer + 1_000).unwrap();
        }
        let mut worker = queue.worker(0);
        let mut all = Vec::new();
        while !queue.is_over() && queue.in_flight() > 0 {
            all.extend(serve(&queue, &mut worker, 1));
        }
        assert_eq!(all, plain, "{count} {modulus}");
    }
}

#[test]
fn an_item_is_compared_with_so_many_of_the_oldest() {
    let most = MAX_COMPARED;
    let queue = Queue::new(&Limits { items: 2 * most, lane_items: 2 * most, ..WIDE });
    let lane = lane_of(&queue, 1);
    (0..=most as u32).for_each(|item| _ = submit(&queue, &lane, item).unwrap());
    let compared = std::cell::Cell::new(0);
    let is_last = |_: &u32, older: &u32| {
        compared.set(compared.get() + 1);
        *older == most as u32
    };
    assert_eq!(replace_by(&queue, &lane, 9_999, 1, is_last), None);
    assert_eq!(compared.get(), most);
    assert_eq!(replace_by(&queue, &lane, 9_999, 1, |_, older| *older == 1_023), Some(vec![1_023]));
}

#[test]
fn while_a_lane_is_looked_at_it_is_not_served_and_what_comes_stands_behind() {
    let queue = Queue::new(&Limits { lane_workers: 2, ..WIDE });
    let (a, b) = (lane_of(&queue, 1), lane_of(&queue, 2));
    submit(&queue, &a, 0).unwrap();
    let serves = RefCell::new(queue.worker(0));
    assert!(matches!(queue.take(&mut serves.borrow_mut()), Take::Run { .. }));
    (1..4).for_each(|item| _ = submit(&queue, &a, item).unwrap());
    let looks = |_: &u32, older: &u32| {
        if *older == 1 {
            submit(&queue, &a, 4).unwrap();
            submit(&queue, &b, 100).unwrap();
            assert_eq!(serve(&queue, &mut queue.worker(1), 1), [100], "the other lane is served");
            assert_eq!(queue.take(&mut queue.worker(1)), Take::Empty);
            // Its worker ends meanwhile, and another item is taken out of it.
            assert_eq!(end(&queue, &mut serves.borrow_mut(), 1), [0]);
            assert_eq!(queue.take(&mut queue.worker(1)), Take::Empty);
            let (evicted, charge) = queue.evict(&a, &mut WakeList::default()).unwrap();
            assert_eq!(evicted, 4, "of those that have come since");
            queue.finish_discarded(&a, charge, &mut WakeList::default());
            submit(&queue, &a, 5).unwrap();
            // Nor does another look at it.
            let mut place = Some(6);
            let mut wake = WakeList::default();
            assert!(
                queue
                    .replace(&a, &mut place, 1, |_, _| true, || (), |own| wake.append(own))
                    .is_none()
            );
        }
        *older == 2
    };
    assert_eq!(replace_by(&queue, &a, 7, 1, looks), Some(vec![2]));
    assert!(queue.is_ready());
    let mut all = Vec::new();
    (0..9).for_each(|_| all.extend(serve(&queue, &mut queue.worker(1), 1)));
    assert_eq!(all, [1, 7, 3, 5]);
    assert_eq!(queue.in_flight(), 0);
}

#[test]
fn a_lane_that_is_looked_at_often_is_served_as_often_as_another() {
    let queue = Queue::new(&WIDE);
    let (a, b) = (lane_of(&queue, 1), lane_of(&queue, 2));
    (0..20).for_each(|item| _ = submit(&queue, &a, item).unwrap());
    (100..120).for_each(|item| _ = submit(&queue, &b, item).unwrap());
    let mut worker = queue.worker(0);
    let mut served = [0, 0];
    for _ in 0..10 {
        // Long items: a run has one.
        for item in serve(&queue, &mut worker, WIDE.quantum) {
            served[usize::from(item >= 100)] += 1;
        }
        (0..3).for_each(|_| _ = replace(&queue, &a, 1_000, 1_001));
    }
    assert_eq!(served, [5, 5]);
}

#[test]
fn nothing_is_replaced_in_a_lane_or_a_queue_that_is_closed_meanwhile() {
    for whole in [false, true] {
        let queue = Queue::new(&WIDE);
        let lane = lane_of(&queue, 1);
        (0..3).for_each(|item| _ = submit(&queue, &lane, item).unwrap());
        let closes = |_: &u32, _: &u32| {
            if whole {
                queue.close(&mut WakeList::default());
            } else {
                let (items, _) = queue.cancel_lane(&lane, &mut WakeList::default());
                assert!(items.is_empty(), "what is looked at is for workers to discard");
            }
            true
        };
        assert_eq!(replace_by(&queue, &lane, 7, 1, closes), None);
        assert_eq!(replace(&queue, &lane, 7, 1), None);
        // They find out themselves that the lane is cancelled.
        let mut all = Vec::new();
        let mut worker = queue.worker(0);
        (0..4).for_each(|_| all.extend(serve(&queue, &mut worker, 1)));
        assert_eq!((all, queue.in_flight()), (vec![0, 1, 2], 0));
        assert!(whole || lane.is_left());
    }
}

#[test]
fn a_larger_item_replaces_a_smaller_one_while_a_byte_is_free_without_that() {
    let queue = Queue::new(&Limits { bytes: Some(10), lane_bytes: Some(8), ..WIDE });
    let (a, b) = (lane_of(&queue, 1), lane_of(&queue, 2));
    let of = |bytes: u32, lane: &Arc<Lane<u32>>, item: u32| {
        queue.submit(lane, &mut Some(item), bytes, &mut WakeList::default())
    };
    of(5, &a, 0).unwrap();
    of(4, &a, 1).unwrap();
    assert_eq!(of(1, &a, 2), Err(Denied::Full), "the lane's bytes");
    let oldest = |_: &u32, older: &u32| *older != 1;
    assert_eq!(replace_by(&queue, &a, 3, 100, oldest), Some(vec![0]), "4 of 8 without it");
    assert_eq!((queue.bytes_in_flight(), a.entrance.bytes.used()), (104, 104));
    assert_eq!(replace_by(&queue, &a, 4, 101, |_, older| *older == 1), None, "100 without it");
    assert_eq!(replace_by(&queue, &a, 4, 4, |_, older| *older == 1), Some(vec![1]), "as large");
    assert_eq!(replace_by(&queue, &a, 5, 1, |_, older| *older == 3), Some(vec![3]), "smaller");
    assert_eq!((queue.bytes_in_flight(), a.entrance.bytes.used()), (5, 5));
    of(7, &b, 6).unwrap();
    // The lane would take it, and the queue does not.
    assert_eq!(replace_by(&queue, &a, 7, 6, |_, older| *older == 5), None);
    assert_eq!((queue.bytes_in_flight(), a.entrance.bytes.used()), (12, 5));
    queue.set_limits(&WIDE);
    assert_eq!(replace_by(&queue, &a, 7, 6, |_, older| *older == 5), Some(vec![5]));
    assert_eq!(queue.bytes_in_flight(), 11, "without a bound nothing is charged");
}

#[test]
fn bytes_that_become_free_let_in_who_waits() {
    let queue = Queue::new(&Limits { bytes: Some(10), ..WIDE });
    let (a, b) = (lane_of(&queue, 1), lane_of(&queue, 2));
    queue.submit(&a, &mut Some(0), 20, &mut WakeList::default()).unwrap();
    let ticket = wait(&queue, &b, 1).unwrap();
    assert_eq!(replace(&queue, &a, 2, 1), Some(vec![0]));
    assert!(matches!(queue.poll_ticket(ticket, Waker::noop()), Waited::Admitted));
}

#[test]
fn others_are_woken_before_the_users_code_compares() {
    let queue = Queue::new(&WIDE);
    let (a, b) = (lane_of(&queue, 1), lane_of(&queue, 2));
    submit(&queue, &a, 0).unwrap();
    // A submitter to `b` has pushed, and has yet to look whether its lane is active.
    assert!(queue.enter(&b, 1, |_| 1, &mut WakeList::default()).is_ok());
    let entry = crate::queue::rows::Entry::one(b.index, Charged { item: 100, charge: 0 });
    assert!(queue.inbox.push(entry).is_ok());
    let has_woken = std::cell::Cell::new(false);
    let supersedes = |_: &u32, _: &u32| {
        // It goes on now, and finds its lane active: it wakes nobody.
        assert!(!queue.knock(&b) && has_woken.get(), "all workers may sleep");
        false
    };
    let notify = |wake: &mut WakeList| has_woken.set(has_woken.get() | wake.worker);
    assert!(queue.replace(&a, &mut Some(7), 1, supersedes, || (), notify).is_none());
}

#[test]
fn a_turn_that_was_missed_wakes_a_worker_at_the_end() {
    let queue = Queue::new(&WIDE);
    let a = lane_of(&queue, 1);
    submit(&queue, &a, 0).unwrap();
    let has_woken = std::cell::Cell::new(false);
    let supersedes = |_: &u32, _: &u32| {
        has_woken.set(false);
        assert_eq!(queue.take(&mut queue.worker(1)), Take::Empty, "it goes to sleep");
        false
    };
    let notify = |wake: &mut WakeList| has_woken.set(std::mem::take(&mut wake.worker));
    assert!(queue.replace(&a, &mut Some(7), 1, supersedes, || (), notify).is_none());
    assert!(has_woken.get(), "all workers sleep");
}

#[test]
fn a_lane_that_is_gone_is_not_mistaken_for_the_one_in_its_place() {
    let queue = Queue::new(&WIDE);
    let a = lane_of(&queue, 1);
    assert_eq!(queue.retire_lane(&a, &mut WakeList::default()), Departed::default());
    let b = lane_of(&queue, 2);
    assert_eq!(a.index, b.index);
    submit(&queue, &b, 0).unwrap();
    assert_eq!(replace_by(&queue, &a, 7, 1, |_, _| panic!("it is another's")), None);
}
