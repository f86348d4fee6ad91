use super::*;

fn node(n: u8) -> NodeId {
    NodeId::new([n; 32])
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn with_peer() -> Answers {
    let mut answers = Answers::default();
    answers.peer_up(node(1), secs(0));
    answers
}

#[test]
fn the_first_request_is_answered_at_once_and_to_the_end() {
    let mut answers = with_peer();
    assert_eq!(answers.due(), []);
    assert_eq!(answers.ask(node(1), 5, secs(0)), Asked::Begun);
    assert_eq!(answers.due(), [node(1)]);
    assert_eq!(answers.take_turn(node(1)), Some(5));
    // Nobody else sends meanwhile.
    assert_eq!(answers.take_turn(node(1)), None);
    answers.end_turn(node(1), Some(9));
    assert_eq!(answers.take_turn(node(1)), Some(9));
    answers.end_turn(node(1), None);
    assert_eq!(answers.take_turn(node(1)), None);
}

#[test]
fn requests_that_come_too_soon_become_one_answer() {
    let mut answers = with_peer();
    answers.ask(node(1), 0, secs(0));
    answers.take_turn(node(1));
    answers.end_turn(node(1), None);
    assert_eq!(answers.ask(node(1), 7, secs(1)), Asked::PutOff);
    assert_eq!(answers.ask(node(1), 3, secs(2)), Asked::PutOff);
    assert_eq!(answers.ask(node(1), 4, secs(3)), Asked::PutOff);
    assert_eq!(answers.tick(secs(4)), 0);
    assert_eq!(answers.tick(secs(5)), 1);
    assert_eq!(answers.take_turn(node(1)), Some(3));
    answers.end_turn(node(1), None);
    assert_eq!(answers.tick(secs(100)), 0);
}

#[test]
fn a_new_request_waits_for_the_answer_under_way() {
    let mut answers = with_peer();
    answers.ask(node(1), 0, secs(0));
    answers.take_turn(node(1));
    answers.end_turn(node(1), Some(100));
    assert_eq!(answers.ask(node(1), 0, secs(60)), Asked::PutOff);
    assert_eq!(answers.take_turn(node(1)), Some(100));
    assert_eq!(answers.tick(secs(60)), 0);
    answers.end_turn(node(1), None);
    assert_eq!(answers.tick(secs(60)), 1);
    assert_eq!(answers.take_turn(node(1)), Some(0));
}

#[test]
fn a_missed_advert_is_sent_without_being_asked_for() {
    let mut answers = with_peer();
    answers.missed(node(1), 8);
    answers.missed(node(1), 6);
    answers.missed(node(1), 7);
    assert_eq!(answers.take_turn(node(1)), Some(6));
    // Missed while the others are sent.
    answers.missed(node(1), 9);
    answers.end_turn(node(1), None);
    assert_eq!(answers.take_turn(node(1)), Some(9));
}

#[test]
fn what_was_not_broadcast_is_sent_with_the_next_tick() {
    let mut answers = with_peer();
    answers.peer_up(node(2), secs(0));
    answers.unannounced(7, &ArtifactDestination::Replicas([node(2)].into()));
    answers.unannounced(8, &ArtifactDestination::AllReplicas);
    assert_eq!(answers.due(), []);
    assert_eq!(answers.tick(secs(0)), 0);
    assert_eq!((answers.take_turn(node(1)), answers.take_turn(node(2))), (Some(8), Some(7)));
    // Meanwhile more.
    answers.unannounced(9, &ArtifactDestination::AllReplicas);
    answers.tick(secs(0));
    answers.end_turn(node(1), None);
    assert_eq!(answers.take_turn(node(1)), Some(9));
}

#[test]
fn a_replica_that_drops_with_every_tick_still_answers() {
    let mut answers = with_peer();
    answers.ask(node(1), 0, secs(0));
    let turn = |answers: &mut Answers| {
        let from = answers.take_turn(node(1));
        answers.end_turn(node(1), None);
        from
    };
    assert_eq!(turn(&mut answers), Some(0));
    answers.ask(node(1), 0, secs(1));
    for second in 2..8 {
        answers.unannounced(100, &ArtifactDestination::AllReplicas);
        answers.tick(secs(second));
        assert_eq!(turn(&mut answers), Some(if second == 5 { 0 } else { 100 }));
    }
}

#[test]
fn a_request_that_overtakes_its_peer_is_answered_when_it_is_up() {
    let mut answers = Answers::default();
    assert_eq!(answers.ask(node(1), 4, secs(0)), Asked::PutOff);
    assert_eq!(answers.ask(node(1), 2, secs(0)), Asked::PutOff);
    assert_eq!(answers.due(), []);
    assert!(answers.peer_up(node(1), secs(0)));
    assert_eq!(answers.take_turn(node(1)), Some(2));
    // What belongs to a connection goes with it.
    answers.peer_down(node(1));
    answers.end_turn(node(1), Some(3));
    assert_eq!(answers.take_turn(node(1)), None);
    assert!(!answers.peer_up(node(1), secs(0)));
    assert_eq!(answers.due(), []);
    assert_eq!(answers.ask(node(1), 0, secs(0)), Asked::Begun);
}

#[test]
fn strangers_cost_a_bounded_amount() {
    let mut answers = Answers::default();
    for n in 0..10_000_u32 {
        let mut id = [0; 32];
        id[..4].copy_from_slice(&n.to_le_bytes());
        answers.ask(NodeId::new(id), 0, secs(0));
    }
    assert_eq!(answers.early.len(), MAX_EARLY);
    assert_eq!(answers.peer_count(), 0);
}
