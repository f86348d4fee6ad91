//! What is to be shown: what the replica said last, and what the keys have chosen.

use std::time::Instant;

use gossip_replica::http::status::Status;

/// What a key asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Command {
    Quit,
    /// So many lines, those above are negative.
    Scroll(isize),
    Top,
    /// All rows of the tables, or as many as fit.
    All,
    Help,
    /// One of a demo's replicas, from 1.
    Replica(usize),
    NextReplica,
    PreviousReplica,
}

/// What is to be done about it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Reaction {
    Draw,
    /// Another replica is to be asked, at once.
    Ask,
    Quit,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct View {
    /// Who is asked.
    pub(super) address: String,
    /// Which of the replicas there, from 1.
    pub(super) replica: usize,
    /// What it said last, and when.
    pub(super) seen: Option<(Status, Instant)>,
    /// Why there is nothing newer.
    pub(super) fault: Option<String>,
    /// The first line that is shown.
    pub(super) scroll: usize,
    pub(super) is_all: bool,
    pub(super) is_help: bool,
}

impl View {
    pub(super) fn new(address: String) -> Self {
        let (seen, fault) = (None, None);
        Self { address, replica: 1, seen, fault, scroll: 0, is_all: false, is_help: false }
    }

    /// Takes an answer, or why there is none.
    pub(super) fn answered(&mut self, answer: Result<Status, String>, now: Instant) {
        match answer {
            Ok(status) => {
                self.seen = Some((status, now));
                self.fault = None;
            }
            Err(fault) => self.fault = Some(fault),
        }
    }

    /// Does what a key asks for.
    pub(super) fn obey(&mut self, command: Command) -> Reaction {
        match command {
            Command::Quit => return Reaction::Quit,
            Command::Scroll(lines) => self.scroll = self.scroll.saturating_add_signed(lines),
            Command::Top => self.scroll = 0,
            Command::All => self.is_all = !self.is_all,
            Command::Help => (self.is_help, self.scroll) = (!self.is_help, 0),
            Command::Replica(number) => return self.choose(number),
            Command::NextReplica => return self.choose(self.replica + 1),
            Command::PreviousReplica => return self.choose(self.replica - 1),
        }
        Reaction::Draw
    }

    fn choose(&mut self, replica: usize) -> Reaction {
        let replicas = self.seen.as_ref().map_or(1, |(status, _)| status.replicas.len());
        if replica == self.replica || !(1..=replicas).contains(&replica) {
            return Reaction::Draw;
        }
        (self.replica, self.scroll) = (replica, 0);
        Reaction::Ask
    }
}

#[cfg(test)]
mod tests;
