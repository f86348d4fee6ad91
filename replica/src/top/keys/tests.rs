use super::*;

fn press(code: KeyCode, modifiers: KeyModifiers) -> Option<Command> {
    command(Event::Key(KeyEvent::new(code, modifiers)))
}

#[test]
fn keys_mean_what_the_help_says() {
    use KeyCode::{Char, Down, End, Esc, Home, Left, PageDown, PageUp, Right, Up};

    for (code, means) in [
        (Char('q'), Some(Command::Quit)),
        (Esc, Some(Command::Quit)),
        (Char('c'), None),
        (Up, Some(Command::Scroll(-1))),
        (Down, Some(Command::Scroll(1))),
        (PageUp, Some(Command::Scroll(-PAGE))),
        (PageDown, Some(Command::Scroll(PAGE))),
        (Home, Some(Command::Top)),
        (Char('a'), Some(Command::All)),
        (Char('?'), Some(Command::Help)),
        (Left, Some(Command::PreviousReplica)),
        (Right, Some(Command::NextReplica)),
        (Char('1'), Some(Command::Replica(1))),
        (Char('9'), Some(Command::Replica(9))),
        (Char('0'), None),
        (End, None),
    ] {
        assert_eq!(press(code, KeyModifiers::NONE), means, "{code:?}");
    }
    assert_eq!(press(Char('c'), KeyModifiers::CONTROL), Some(Command::Quit));
    assert_eq!(command(Event::Resize(1, 1)), None);
    let mut released = KeyEvent::new(Char('q'), KeyModifiers::NONE);
    released.kind = KeyEventKind::Release;
    assert_eq!(command(Event::Key(released)), None, "it was pressed before");
}
