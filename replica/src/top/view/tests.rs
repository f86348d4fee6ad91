use gossip_replica::http::status::Summary;

use super::*;

fn of(replicas: usize) -> View {
    let mut view = View::new("127.0.0.1:1".to_owned());
    let mut status = Status::default();
    status.replicas = (0..replicas).map(|_| Summary::default()).collect();
    view.answered(Ok(status), Instant::now());
    view
}

#[test]
fn replicas_are_chosen_among_those_that_there_are() {
    let mut view = of(3);
    for (command, reaction, replica) in [
        (Command::PreviousReplica, Reaction::Draw, 1),
        (Command::NextReplica, Reaction::Ask, 2),
        (Command::Replica(2), Reaction::Draw, 2),
        (Command::Replica(9), Reaction::Draw, 2),
        (Command::Replica(3), Reaction::Ask, 3),
        (Command::NextReplica, Reaction::Draw, 3),
        (Command::PreviousReplica, Reaction::Ask, 2),
    ] {
        view.scroll = 5;
        assert_eq!((view.obey(command), view.replica), (reaction, replica), "{command:?}");
        assert_eq!(view.scroll, if reaction == Reaction::Ask { 0 } else { 5 });
    }
    let mut view = of(1);
    assert_eq!(view.obey(Command::NextReplica), Reaction::Draw);
    let mut view = View::new(String::new());
    assert_eq!(view.obey(Command::Replica(2)), Reaction::Draw, "nothing is known of others yet");
}

#[test]
fn it_scrolls_and_turns_over() {
    let mut view = of(1);
    for (lines, scroll) in [(1, 1), (10, 11), (-1, 10), (-99, 0)] {
        view.obey(Command::Scroll(lines));
        assert_eq!(view.scroll, scroll);
    }
    view.scroll = 7;
    view.obey(Command::Top);
    assert_eq!(view.scroll, 0);
    view.obey(Command::All);
    view.obey(Command::Help);
    assert!(view.is_all && view.is_help);
    assert_eq!(view.obey(Command::Quit), Reaction::Quit);
}

#[test]
fn what_was_said_last_stays_until_there_is_an_answer() {
    let mut view = of(2);
    let at = view.seen.as_ref().unwrap().1;
    view.answered(Err("gone".to_owned()), Instant::now());
    assert_eq!(view.fault.as_deref(), Some("gone"));
    let (status, seen) = view.seen.as_ref().unwrap();
    assert_eq!((status.replicas.len(), *seen), (2, at));
    view.answered(Ok(Status::default()), Instant::now());
    assert!(view.fault.is_none());
}
