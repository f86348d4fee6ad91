//! The keys: read on a thread of their own, since a terminal is read by waiting.
//!
//! The thread ends with the channel, within [`POLL`]. If it ends before, the channel does, and so does the program. The
//! channel is [`QUEUE`] long: more stay in the terminal.

use std::{io, thread, time::Duration};

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tokio::sync::mpsc;

use super::view::Command;

/// How soon the thread sees that nobody listens any more.
const POLL: Duration = Duration::from_millis(100);
const QUEUE: usize = 16;
/// Lines that a page key scrolls: less than a page, so that some stay in sight.
const PAGE: isize = 10;

/// What the terminal has to say: a key that means something, or `None` if it is to be drawn anew.
pub(super) type Keys = mpsc::Receiver<io::Result<Option<Command>>>;

/// Begins to read.
pub(super) fn listen() -> io::Result<Keys> {
    let (sender, keys) = mpsc::channel(QUEUE);
    let read = move || {
        while !sender.is_closed() {
            let said = match event::poll(POLL) {
                Ok(false) => continue,
                Ok(true) => event::read().map(command),
                Err(error) => Err(error),
            };
            let is_fault = said.is_err();
            if sender.blocking_send(said).is_err() || is_fault {
                break;
            }
        }
    };
    thread::Builder::new().name("keys".to_owned()).spawn(read)?;
    Ok(keys)
}

fn command(event: Event) -> Option<Command> {
    let Event::Key(KeyEvent { code, modifiers, kind, .. }) = event else { return None };
    if kind == KeyEventKind::Release {
        return None;
    }
    let is_control = modifiers.contains(KeyModifiers::CONTROL);
    Some(match code {
        KeyCode::Char('c') if is_control => Command::Quit,
        KeyCode::Char('q') | KeyCode::Esc => Command::Quit,
        KeyCode::Up | KeyCode::Char('k') => Command::Scroll(-1),
        KeyCode::Down | KeyCode::Char('j') => Command::Scroll(1),
        KeyCode::PageUp => Command::Scroll(-PAGE),
        KeyCode::PageDown | KeyCode::Char(' ') => Command::Scroll(PAGE),
        KeyCode::Home | KeyCode::Char('g') => Command::Top,
        KeyCode::Char('a') => Command::All,
        KeyCode::Char('?' | 'h') => Command::Help,
        KeyCode::Right => Command::NextReplica,
        KeyCode::Left => Command::PreviousReplica,
        KeyCode::Char(digit @ '1'..='9') => Command::Replica(digit as usize - '0' as usize),
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
