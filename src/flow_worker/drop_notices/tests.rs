use std::cell::RefCell;

use super::*;
use crate::queue::{FairQueue, Limits, WakeList};

type Queue = FairQueue<u32, u32>;

fn queue() -> Queue {
    Queue::new(&Limits {
        items: 10,
        lane_items: 10,
        bytes: None,
        lane_bytes: None,
        quantum: 1_000,
        lanes: 10,
        lane_waiters: 0,
        lane_workers: 1,
        workers: 1,
    })
}

fn lane_of(queue: &Queue, key: u32) -> Arc<Lane<u32>> {
    queue.lane(&key).expect("there may be one more lane")
}

/// What is said at this time, where 10 ns are between two notices of a peer; `is_heard` says whether it can be said.
fn said(notices: &DropNotices<u32>, now: u64, is_heard: bool) -> Vec<(u32, u64)> {
    let said = RefCell::new(Vec::new());
    notices.notify(now, 10, |&peer, count| {
        said.borrow_mut().push((peer, count));
        is_heard
    });
    said.into_inner()
}

#[test]
fn a_peer_is_notified_once_an_interval_of_all_that_was_dropped() {
    let (queue, notices) = (queue(), DropNotices::new(true));
    let (a, b) = (lane_of(&queue, 1), lane_of(&queue, 2));
    [&b, &a, &b].into_iter().for_each(|lane| notices.record(lane));
    assert_eq!(said(&notices, 100, true), [(1, 1), (2, 2)], "in the order of their coming");
    notices.record(&a);
    assert_eq!((said(&notices, 109, true), notices.listed()), (vec![], 2));
    assert_eq!(said(&notices, 110, true), [(1, 1)]);
    // A peer of whom nothing more is dropped is forgotten. The next drop is noticed at once.
    assert_eq!((said(&notices, 120, true), notices.listed()), (vec![], 0));
    notices.record(&a);
    assert_eq!(said(&notices, 121, true), [(1, 1)]);
}

#[test]
fn what_cannot_be_said_is_said_later_with_what_was_dropped_meanwhile() {
    let (queue, notices) = (queue(), DropNotices::new(true));
    let a = lane_of(&queue, 1);
    [&a, &a].into_iter().for_each(|lane| notices.record(lane));
    assert_eq!(said(&notices, 100, false), [(1, 2)]);
    notices.record(&a);
    assert_eq!((said(&notices, 101, true), notices.listed()), (vec![(1, 3)], 1));
}

#[test]
fn nobody_is_notified_of_a_connection_that_is_over_or_where_nobody_listens() {
    let (queue, notices) = (queue(), DropNotices::new(true));
    let a = lane_of(&queue, 1);
    notices.record(&a);
    assert_eq!(said(&notices, 100, true), [(1, 1)]);
    notices.record(&a);
    let _ = queue.cancel_lane(&a, &mut WakeList::default());
    // The peer is back, and owes nothing to the interval of the connection before.
    let again = lane_of(&queue, 1);
    notices.record(&again);
    assert_eq!((said(&notices, 101, true), notices.listed()), (vec![(1, 1)], 1));
    let _ = queue.cancel_lane(&again, &mut WakeList::default());
    assert_eq!((said(&notices, 200, true), notices.listed()), (vec![], 0));
    let deaf = DropNotices::new(false);
    deaf.record(&lane_of(&queue, 1));
    assert_eq!((deaf.listed(), said(&deaf, 100, true)), (0, vec![]));
}
