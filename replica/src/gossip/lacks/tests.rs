use super::*;

fn node(number: u16) -> NodeId {
    let mut id = [0; 32];
    id[..2].copy_from_slice(&number.to_be_bytes());
    NodeId::new(id)
}

fn lack(missing_files: u64) -> Lack {
    Lack { sequence: 1, missing_files, missing_bytes: 10 * missing_files }
}

fn members(count: u16) -> BTreeSet<NodeId> {
    (0..count).map(node).collect()
}

#[test]
fn what_has_changed_is_reported_once_and_all_have_their_turn() {
    let mut lacks = Lacks::default();
    let counted = |files: [u64; 3]| (0..3).map(node).zip(files.map(lack));
    lacks.set_own(counted([5, 0, 7]));
    assert_eq!(lacks.take_due(2), [node(0), node(1)]);
    // The first changes all the time; the third has waited for longest.
    lacks.set_own(counted([4, 0, 7]));
    assert_eq!(lacks.take_due(1), [node(2)]);
    assert_eq!(lacks.take_due(2), [node(0)]);
    assert_eq!(lacks.take_due(2), []);
    // Who has no catalog any more is forgotten.
    lacks.set_own(counted([4, 0, 7]).take(1));
    lacks.set_own(counted([4, 0, 7]));
    assert_eq!(lacks.take_due(3), [node(1), node(2)]);
}

#[test]
fn a_peer_is_remembered_by_its_last_word() {
    let mut lacks = Lacks::default();
    lacks.set_members(members(3));
    let said = |lacks: &Lacks| -> Vec<_> {
        lacks.said().iter().map(|of| (of.peer, of.publisher, of.lack)).collect()
    };
    for files in [3, 2] {
        lacks.say(node(1), node(0), lack(files), SystemTime::now());
    }
    lacks.say(node(2), node(2), lack(0), SystemTime::now());
    let (one, two) = ((node(1), node(0), lack(2)), (node(2), node(2), lack(0)));
    assert_eq!(said(&lacks), [one, two]);
    // Nobody else counts, and nobody else's folder.
    lacks.say(node(3), node(0), lack(1), SystemTime::now());
    lacks.say(node(1), node(3), lack(1), SystemTime::now());
    assert_eq!(said(&lacks), [one, two]);
    lacks.set_members(BTreeSet::from([node(0), node(1)]));
    assert_eq!(said(&lacks), [one]);
    lacks.check();
}

#[test]
fn a_peer_that_talks_much_has_its_share() {
    let mut lacks = Lacks::default();
    let count = 2_000;
    lacks.set_members(members(count));
    for publisher in 0..count {
        for peer in [1, 2] {
            lacks.say(node(peer), node(publisher), lack(1), SystemTime::now());
        }
    }
    let share = MAX_SAID / usize::from(count);
    assert_eq!(lacks.said().len(), 2 * share);
    // Of what it has a place for, it may say another.
    lacks.say(node(1), node(0), lack(9), SystemTime::now());
    assert_eq!((lacks.said().len(), lacks.said()[0].lack), (2 * share, lack(9)));
    lacks.check();
}
