use super::*;

const POLICY: Quarantine =
    Quarantine::after(3, Duration::from_secs(10)).with_term(Duration::from_secs(100));

fn peer(number: u16) -> NodeId {
    let mut id = [0; 32];
    id[..2].copy_from_slice(&number.to_be_bytes());
    NodeId::new(id)
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Panics three times at this second.
fn panic_at(table: &PanicTable, peer: NodeId, second: u64) -> bool {
    [(); 3].map(|()| table.record_at(peer, POLICY, at(second)))[2]
}

#[test]
fn so_many_panics_within_the_window_are_a_quarantine_for_a_term() {
    let table = PanicTable::new(None);
    let panics = [0, 5, 9].map(|second| table.record_at(peer(1), POLICY, at(second)));
    assert_eq!(panics, [false, false, true]);
    let held = [9, 108, 109].map(|second| table.holds_at(peer(1), || at(second)));
    assert_eq!(held, [true, true, false]);
    assert_eq!([8, 9, 108, 109].map(|second| table.held_at(at(second))), [1, 1, 1, 0]);
    assert!(!table.holds_at(peer(2), || at(10)));
    // What was queued before may panic still, and makes no second quarantine.
    assert!(!table.record_at(peer(1), POLICY, at(10)));
}

#[test]
fn panics_that_are_far_apart_are_none() {
    let table = PanicTable::new(None);
    for second in [0, 6, 12, 18, 24] {
        assert!(!table.record_at(peer(1), POLICY, at(second)));
    }
    assert!(!table.holds_at(peer(1), || at(24)));
}

#[test]
fn after_its_term_a_peer_begins_anew() {
    let table = PanicTable::new(None);
    assert!(panic_at(&table, peer(1), 0));
    let panics = [200, 201, 202].map(|second| table.record_at(peer(1), POLICY, at(second)));
    assert_eq!(panics, [false, false, true]);
}

#[test]
fn a_quarantine_that_is_lifted_is_over() {
    let table = PanicTable::new(None);
    assert!(!table.lift_at(peer(1), at(0)));
    assert!(panic_at(&table, peer(1), 0));
    assert!(table.lift_at(peer(1), at(1)) && !table.lift_at(peer(1), at(1)));
    assert!(!table.holds_at(peer(1), || at(1)));
}

#[test]
fn the_number_of_table_is_bounded_and_those_in_quarantine_stay() {
    let table = PanicTable::new(None);
    assert!(panic_at(&table, peer(0), 0));
    for number in 1..=2 * MAX_PANIC_TABLE as u16 {
        table.record_at(peer(number), POLICY, at(1));
    }
    assert!(table.table.load().len() <= MAX_PANIC_TABLE);
    assert!(table.holds_at(peer(0), || at(1)));
}
