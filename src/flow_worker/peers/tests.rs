use std::{collections::BTreeSet, thread};

use super::*;
use crate::permits::Attempt;

const CONFIG: FlowConfig = FlowConfig::new(1);

fn table(max: usize) -> Peers<u32> {
    Peers::new(max, 1, Arc::default())
}

fn peer(number: u16) -> NodeId {
    let mut id = [0; 32];
    id[..2].copy_from_slice(&number.to_be_bytes());
    NodeId::new(id)
}

#[test]
fn each_peer_has_one_lane_and_each_lane_a_seat() {
    let peers = table(200);
    let lanes: Vec<_> =
        (0..200).map(|number| peers.find_or_seat(peer(number), &CONFIG).unwrap()).collect();
    let seats: BTreeSet<_> = lanes.iter().map(|lane| lane.seat).collect();
    assert_eq!(seats.len(), 200);
    for (number, lane) in (0..).zip(&lanes) {
        assert!(Arc::ptr_eq(&peers.find_or_seat(peer(number), &CONFIG).unwrap(), lane));
        assert!(Arc::ptr_eq(&peers.at(lane.seat).unwrap(), lane));
    }
    assert_eq!(peers.at(200).map(|lane| lane.seat), None);
}

#[test]
fn an_unused_lane_gives_its_seat_up_and_a_used_one_does_not() {
    let peers = table(2);
    let [used, unused] = [1, 2].map(|number| peers.find_or_seat(peer(number), &CONFIG).unwrap());
    assert_eq!(used.entrance.permits.enter(|| used.left()), Attempt::Entered);
    let third = peers.find_or_seat(peer(3), &CONFIG).unwrap();
    assert_eq!((third.seat, unused.entrance.permits.is_shut()), (unused.seat, true));
    assert!(peers.find(peer(2)).lane().is_none());
    assert_eq!(third.entrance.permits.enter(|| third.left()), Attempt::Entered);
    assert!(peers.find_or_seat(peer(2), &CONFIG).is_none(), "all seats are used");
    assert!(!peers.retire(&used));
    used.leave();
    assert!(peers.retire(&used) && !peers.retire(&used));
    assert_eq!(peers.find_or_seat(peer(2), &CONFIG).unwrap().seat, used.seat);
}

#[test]
fn a_newcomer_looks_at_a_limited_number_of_lanes() {
    let peers = table(3 * LOOK_AT);
    let lanes: Vec<_> = (0..3 * LOOK_AT as u16)
        .map(|number| peers.find_or_seat(peer(number), &CONFIG).unwrap())
        .collect();
    let enter = |lane: &Lane<u32>| assert_eq!(lane.entrance.permits.enter(|| 0), Attempt::Entered);
    lanes[..lanes.len() - 1].iter().for_each(|lane| enter(lane));
    // The only unused one is found in the third attempt.
    let found = [(); 3].map(|()| peers.find_or_seat(peer(9_999), &CONFIG).is_some());
    assert_eq!(found, [false, false, true]);
}

#[test]
fn a_retired_lane_is_taken_out_once_and_never_its_successor() {
    let peers = table(2);
    let first = peers.find_or_seat(peer(1), &CONFIG).unwrap();
    assert!(first.retire());
    peers.take_out(&first);
    let second = peers.find_or_seat(peer(1), &CONFIG).unwrap();
    peers.take_out(&first);
    assert!(Arc::ptr_eq(&peers.find_or_seat(peer(1), &CONFIG).unwrap(), &second));
}

#[test]
fn threads_that_seat_and_retire_the_same_peers_agree() {
    let peers = table(4);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for turn in 0..2_000 {
                    let Some(lane) = peers.find_or_seat(peer(turn % 6), &CONFIG) else { continue };
                    match lane.entrance.permits.enter(|| lane.left()) {
                        Attempt::Entered => {
                            let found = peers.at(lane.seat).unwrap();
                            assert!(Arc::ptr_eq(&found, &lane), "its seat is another's");
                            lane.leave();
                        }
                        Attempt::Full => {}
                        Attempt::Shut => peers.take_out(&lane),
                    }
                    if turn % 3 == 0 {
                        peers.retire(&lane);
                    }
                }
            });
        }
    });
    for lane in peers.iter() {
        assert!(peers.retire(&lane));
    }
    assert!(peers.taken.is_empty());
    assert!((0..6).all(|number| peers.find(peer(number)).lane().is_none()));
}
