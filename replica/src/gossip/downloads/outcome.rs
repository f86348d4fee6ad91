//! How an attempt ends: stored, wrong, refused by the disk; and who is to blame.

use std::time::Duration;

use gossip_engine::{ArtifactId, NodeId};

use super::{Action, AttemptId, Downloads};

/// For how long nothing new is begun after the disk has refused something.
const DISK_PAUSE: Duration = Duration::from_secs(5);

impl Downloads {
    /// A chunk is on the disk.
    pub(crate) fn written(&mut self, attempt: AttemptId, now: Duration) {
        let Some(running) = self.attempts.get_mut(&attempt) else { return };
        if running.write(now) {
            running.finishing = true;
            self.actions.push(Action::Finish { attempt, claim: running.claim });
        }
    }

    /// The content was right and is stored, or this replica holds the artifact from elsewhere. Returns
    /// the peers that are known to hold it too.
    pub(crate) fn held(&mut self, id: ArtifactId, now: Duration) -> Vec<NodeId> {
        let Some(wanted) = self.wanted.get_mut(&id) else { return Vec::new() };
        let holders: Vec<NodeId> =
            std::mem::take(&mut wanted.advertisers).iter().map(|holder| holder.peer).collect();
        for holder in &holders {
            if let Some(peer) = self.peers.get_mut(holder) {
                peer.retract(id);
            }
        }
        match wanted.attempt {
            Some(attempt) => self.end_attempt(attempt, now),
            None => _ = self.wanted.remove(&id),
        }
        holders
    }

    /// The content was not what it had to be.
    pub(crate) fn mismatch(&mut self, attempt: AttemptId, now: Duration) {
        let Some(running) = self.attempts.get(&attempt) else { return };
        self.counters.hash_mismatches += 1;
        let id = running.claim.id;
        let mut contributors = running.contributors.iter().copied();
        let only = contributors.next().filter(|_| contributors.next().is_none());
        let wanted = self.wanted.get_mut(&id).expect("an attempt's artifact is wanted");
        // For good, even once the liar is found: it may come back, and spoil what others have delivered.
        wanted.single |= only.is_none();
        if let Some(liar) = only {
            self.blame(liar, id, now);
        }
        self.end_attempt(attempt, now);
    }

    /// The disk has refused a chunk or the whole of an attempt. Returns whether that is news, rather than
    /// the fate of one more attempt that had begun before the pause.
    pub(crate) fn disk_failed(&mut self, attempt: AttemptId, now: Duration) -> bool {
        self.counters.disk_errors += 1;
        let news = now >= self.paused_until;
        self.paused_until = now + DISK_PAUSE;
        self.end_attempt(attempt, now);
        news
    }

    /// A peer has lied about an artifact.
    pub(super) fn blame(&mut self, peer: NodeId, id: ArtifactId, now: Duration) {
        self.counters.blamed += 1;
        if let Some(liar) = self.peers.get_mut(&peer) {
            liar.blame(id, now);
        }
        self.remove_advertiser(peer, id);
    }
}
