//! `gossip-replica top`: what a running replica does, live in a terminal.
//!
//! ```text
//! port ── each second ──> view ──> draw ──> terminal
//! keys ───────────────────^
//! ```
//!
//! The port is asked once at a time, and again [`PAUSE`] later whatever it said: what is shown stays, with its age and
//! the reason. The terminal is given back at the end, however this comes: at a key, a signal, a fault, a panic. What
//! is shown is untrusted; see [`draw`].

mod draw;
mod keys;
mod table;
mod view;

use std::{
    io::{self, IsTerminal as _},
    net::SocketAddr,
    time::{Duration, Instant},
};

use gossip_replica::http::{client::fetch, status::Status};
use ratatui::DefaultTerminal;
use tokio::time::{MissedTickBehavior, interval, sleep};

use self::{
    draw::draw,
    view::{Reaction, View},
};
use crate::{cli::StatusTarget, failure::Failure, signals::EndRequest, status};

/// From an answer to the next question: a replica looks at itself once a second.
const PAUSE: Duration = Duration::from_secs(1);

/// Shows a replica until a key or a signal ends it.
pub(crate) async fn top(target: &StatusTarget) -> Result<(), Failure> {
    let address = status::address(target)?;
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return Err(Failure::usage("this is no terminal; `status --json` prints the same once"));
    }
    // On a task, so that a second signal ends the program even while the terminal takes nothing.
    let end = tokio::spawn(EndRequest::with_hangup()?.wait());
    // A panic gives the terminal back before it is reported.
    let shown = match ratatui::try_init() {
        Ok(mut terminal) => {
            let shown = show(&mut terminal, address, end).await;
            let cursor = terminal.show_cursor();
            if cursor.is_err() {
                // Its drop would say so by `eprintln!`, which panics where standard error is the same terminal.
                std::mem::forget(terminal);
            }
            shown.and(cursor)
        }
        Err(error) => Err(error),
    };
    let restored = ratatui::try_restore();
    shown
        .and(restored)
        .map_err(|error| Failure::runtime(format_args!("the terminal cannot be used: {error}")))
}

/// Asks, draws and obeys until `end`.
async fn show(
    terminal: &mut DefaultTerminal,
    address: SocketAddr,
    end: impl Future,
) -> io::Result<()> {
    let mut view = View::new(address.to_string());
    let mut keys = keys::listen()?;
    let mut asking = Box::pin(ask(address, view.replica, Duration::ZERO));
    // The age of what is shown grows without an answer.
    let mut ticks = interval(PAUSE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tokio::pin!(end);
    loop {
        terminal.draw(|frame| {
            let area = frame.area();
            let hidden = draw(&view, Instant::now(), area, frame.buffer_mut());
            view.scroll = view.scroll.min(hidden);
        })?;
        tokio::select! {
            _ = &mut end => return Ok(()),
            key = keys.recv() => {
                let key = key.unwrap_or_else(|| Err(io::Error::other("its keys are not read")))?;
                match key.map_or(Reaction::Draw, |command| view.obey(command)) {
                    Reaction::Draw => {}
                    Reaction::Ask => asking = Box::pin(ask(address, view.replica, Duration::ZERO)),
                    Reaction::Quit => return Ok(()),
                }
            }
            answer = &mut asking => {
                view.answered(answer, Instant::now());
                asking = Box::pin(ask(address, view.replica, PAUSE));
            }
            _ = ticks.tick() => {}
        }
    }
}

async fn ask(address: SocketAddr, replica: usize, pause: Duration) -> Result<Status, String> {
    sleep(pause).await;
    match fetch(address, replica).await {
        Ok((_, status)) => Ok(status),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests;
