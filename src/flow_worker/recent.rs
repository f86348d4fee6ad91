//! What a flow's threads have done last, with the names of peers: for its users, and for the log.

use std::{collections::HashMap, fmt, time::Duration};

use super::core::Core;
use crate::{
    NodeId, Outcome, PeerKey,
    ledger::{Entry, LANE_BITS},
    queue::TAG_BITS,
};

// The ledger knows no queue, and keeps the tags of its lanes.
const _: () = assert!(TAG_BITS == LANE_BITS);

/// How many turns of a worker the log shows beside its stuck handler. With peer ids of 64 characters they take less
/// than 2 kB.
const LOGGED_TURNS: usize = 8;

/// A message that a thread of a flow has taken lately, and what became of it.
///
/// [`FlowWorker::recent`](crate::FlowWorker::recent) returns them.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct RecentMessage<K: PeerKey = NodeId> {
    /// Which of the flow's threads has taken it, from 0.
    pub thread: usize,
    /// Who has sent it; `None` if the peer has departed, or its lane was given to another.
    pub peer: Option<K>,
    /// How long ago its handler began, or how long ago it was let go if it did not run.
    pub age: Duration,
    /// From its submitter's call until then, to two significant digits, at most 60 s.
    pub wait: Duration,
    /// How long its handler ran, likewise; of a batch, the whole call. Zero if it did not run.
    pub service: Duration,
    /// What became of it. `None` if its handler has returned and its [slot](crate::Slot) was held beyond that.
    pub outcome: Option<Outcome>,
}

/// What one worker has taken of one peer in a row, with the same outcome.
struct Turn<K> {
    peer: Option<K>,
    lane: u64,
    outcome: Option<Outcome>,
    messages: u64,
    /// When the first of them began.
    first: u64,
    /// How long ago the last of them did.
    age: Duration,
    service: u64,
    longest: u64,
    wait: u64,
}

/// Some turns of a worker as text, the last first.
pub(super) struct Turns<K>(Vec<Turn<K>>);

impl<M: Send + 'static, K: PeerKey> Core<M, K> {
    /// What all workers have taken last, the oldest first.
    pub(super) fn recent(&self) -> Vec<RecentMessage<K>> {
        let workers = self.ledger.workers.iter().enumerate();
        let mut entries: Vec<(usize, Entry)> = workers
            .flat_map(|(thread, worker)| {
                worker.recent().into_iter().map(move |entry| (thread, entry))
            })
            .collect();
        entries.sort_by_key(|(_, entry)| entry.when);
        let now = self.now();
        // The keys of lanes cost a lock, so each is looked up once.
        let mut peers = HashMap::new();
        let message = |(thread, entry): (usize, Entry)| RecentMessage {
            thread,
            peer: peers.entry(entry.lane).or_insert_with(|| self.queue.key_of(entry.lane)).clone(),
            age: Duration::from_nanos(now.saturating_sub(entry.when)),
            wait: Duration::from_nanos(entry.wait),
            service: Duration::from_nanos(entry.service),
            outcome: entry.outcome,
        };
        entries.into_iter().map(message).collect()
    }

    /// The last [turns](LOGGED_TURNS) of a worker that have ended.
    pub(super) fn last_turns(&self, worker: usize) -> Turns<K> {
        let now = self.now();
        let mut turns: Vec<Turn<K>> = Vec::with_capacity(LOGGED_TURNS);
        for entry in self.ledger.workers[worker].recent().iter().rev() {
            let is_same =
                |turn: &&mut Turn<K>| (turn.lane, turn.outcome) == (entry.lane, entry.outcome);
            if let Some(turn) = turns.last_mut().filter(is_same) {
                turn.messages += 1;
                // Those of a batch have one call.
                turn.service += if turn.first == entry.when { 0 } else { entry.service };
                turn.first = entry.when;
                turn.longest = turn.longest.max(entry.service);
                turn.wait = turn.wait.max(entry.wait);
                continue;
            }
            if turns.len() == LOGGED_TURNS {
                break;
            }
            turns.push(Turn {
                peer: self.queue.key_of(entry.lane),
                lane: entry.lane,
                outcome: entry.outcome,
                messages: 1,
                first: entry.when,
                age: Duration::from_nanos(now.saturating_sub(entry.when)),
                service: entry.service,
                longest: entry.service,
                wait: entry.wait,
            });
        }
        Turns(turns)
    }
}

impl<K: PeerKey> fmt::Display for Turns<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("nothing");
        }
        for (place, turn) in self.0.iter().enumerate() {
            let separator = if place == 0 { "" } else { "; " };
            write!(f, "{separator}{:?} ago {} of ", rounded(turn.age.as_nanos()), turn.messages)?;
            match &turn.peer {
                Some(peer) => write!(f, "{peer}")?,
                None => f.write_str("a peer that has gone")?,
            }
            let outcome = turn.outcome.map_or("held", <&'static str>::from);
            write!(f, " {outcome}, waited {:?}", rounded(turn.wait.into()))?;
            if turn.service > 0 {
                write!(f, ", ran {:?}", rounded(turn.service.into()))?;
            }
            if turn.messages > 1 && turn.service > 0 {
                write!(f, ", the longest {:?}", rounded(turn.longest.into()))?;
            }
        }
        Ok(())
    }
}

/// To three significant digits, so that it is shown with as many.
fn rounded(nanos: u128) -> Duration {
    let nanos = u64::try_from(nanos).unwrap_or(u64::MAX);
    let unit = 10_u64.pow(nanos.checked_ilog10().unwrap_or_default().saturating_sub(2));
    Duration::from_nanos(nanos / unit * unit)
}
