use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

#[test]
fn lanes_are_found_in_turn_and_each_once_a_round() {
    let seats = [0, 1, 63, 64, 4_095, 4_096, 9_999];
    let set = LaneSet::new(10_000);
    assert!(seats.iter().all(|&seat| set.insert(seat)));
    assert!(seats.iter().all(|&seat| !set.insert(seat)));
    let mut from = 50;
    let round: Vec<_> = seats
        .iter()
        .map(|_| {
            let found = set.next(from).unwrap();
            from = found + 1;
            found
        })
        .collect();
    assert_eq!(round, [63, 64, 4_095, 4_096, 9_999, 0, 1]);
    assert!(set.has_other_than(63));
    assert!(seats.iter().skip(1).all(|&seat| set.remove(seat)));
    assert!(!set.remove(63));
    assert_eq!((set.next(9_999), set.has_other_than(0)), (Some(0), false));
    assert!(set.has_other_than(7));
    assert!(set.remove(0) && set.is_empty());
}

proptest! {
    #[test]
    fn it_does_as_a_tree_set_does(
        operations in proptest::collection::vec((0_usize..3, 0_usize..300), 0..200),
    ) {
        let (set, mut plain) = (LaneSet::new(300), BTreeSet::new());
        for (operation, seat) in operations {
            match operation {
                0 => prop_assert_eq!(set.insert(seat), plain.insert(seat)),
                1 => prop_assert_eq!(set.remove(seat), plain.remove(&seat)),
                _ => {
                    let next = plain.range(seat..).next().or_else(|| plain.first()).copied();
                    prop_assert_eq!(set.next(seat), next);
                }
            }
            prop_assert_eq!(set.is_empty(), plain.is_empty());
        }
    }
}
