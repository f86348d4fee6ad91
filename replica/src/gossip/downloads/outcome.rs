//! How an attempt ends: stored, wrong, refused by the disk; and who is to blame.

use std::time::Duration;

use gossip_engine::{ArtifactId, NodeId};

use super::{Action, AttemptId, Downloads, Fault, Refused, peer::PeerKey, timers::Timer};

/// For how long nothing new is begun after the disk has refused something.
const DISK_PAUSE: Duration = Duration::from_secs(5);
/// For how long nothing new is begun after there was no space. What is smaller may still fit.
const SPACE_PAUSE: Duration = Duration::from_millis(100);
/// For how long a peer has no turn after an attempt on its turn was refused. Otherwise one event would try all that it
/// advertises.
const REFUSED_REST: Duration = Duration::from_millis(100);
/// For how long an artifact is put off that the disk does not take, at first; it doubles each time.
const FIRST_DELAY: Duration = Duration::from_secs(2);
/// For how long it is put off at most.
const LAST_DELAY: Duration = Duration::from_secs(300);

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
        let attempt = wanted.attempt;
        let advertisers = std::mem::take(&mut wanted.advertisers);
        for key in advertisers.keys() {
            self.retract(*key, id);
        }
        match attempt {
            Some(attempt) => self.end_attempt(attempt, false, now),
            None => self.remove_wanted(id),
        }
        let connected = |(key, _): &(&PeerKey, _)| self.peers.contains_key(*key);
        advertisers.iter().filter(connected).map(|(_, known)| known.peer).collect()
    }

    /// The content was not what it had to be.
    pub(crate) fn mismatch(&mut self, attempt: AttemptId, now: Duration) {
        let Some(running) = self.attempts.get(&attempt) else { return };
        self.counters.hash_mismatches += 1;
        let id = running.claim.id;
        let mut contributors = running.contributors.iter().copied();
        // What was resumed may be another's.
        let only =
            contributors.next().filter(|_| !running.resumed && contributors.next().is_none());
        let wanted = self.wanted.get_mut(&id).expect("an attempt's artifact is wanted");
        // For good, even once the liar is found: it may come back, and spoil what others have delivered.
        wanted.single |= only.is_none();
        if let Some(liar) = only {
            match self.names.get(&liar).copied() {
                Some(key) => self.blame(key, id, Fault::WrongContent, now),
                None => self.counters.blamed += 1,
            }
        }
        self.end_attempt(attempt, false, now);
    }

    /// An attempt is not to be made: by nobody, or not on the turn of its owner. What is refused is forgotten until it
    /// is advertised again.
    pub(crate) fn refuse(&mut self, attempt: AttemptId, refused: Refused, now: Duration) {
        let Some(running) = self.attempts.get(&attempt) else { return };
        let (claim, owner) = (running.claim, self.names.get(&running.owner).copied());
        if let Some(key) = owner {
            // Nobody else's turns wait, or a peer could stop all others with what it makes up.
            self.rest_turns(key, now + REFUSED_REST);
        }
        if refused == Refused::ToAll {
            self.held(claim.id, now);
            return;
        }
        let known = self.wanted.get(&claim.id).map(|wanted| &wanted.advertisers);
        // If another's claim was tried, the owner's own has its try later.
        if let Some(key) = owner
            && known.and_then(|known| known.get(&key)).is_some_and(|own| own.claim == claim)
        {
            self.remove_advertiser(key, claim.id);
        }
        self.end_attempt(attempt, false, now);
    }

    /// The disk has refused a chunk or the whole of an attempt. The artifact is put off. Returns whether that
    /// is news, rather than the fate of one more attempt that had begun before the pause.
    pub(crate) fn disk_failed(&mut self, attempt: AttemptId, now: Duration) -> bool {
        self.counters.disk_errors += 1;
        let news = now >= self.paused_until;
        self.paused_until = now + DISK_PAUSE;
        self.put_off(attempt, false, now);
        news
    }

    /// The store has no space for an attempt's artifact, which is put off. Returns whether it is the first
    /// that waits for space.
    pub(crate) fn no_space(&mut self, attempt: AttemptId, now: Duration) -> bool {
        self.counters.no_space += 1;
        let before = self.lacking_space;
        // The next one is tried a tick later, or all that wait would be tried in this event.
        self.paused_until = self.paused_until.max(now + SPACE_PAUSE);
        self.put_off(attempt, true, now);
        before == 0 && self.lacking_space > 0
    }

    /// What has come is kept only if space is all that lacks: after an error of the disk, the next attempt would meet
    /// it in the same file.
    fn put_off(&mut self, attempt: AttemptId, lacks_space: bool, now: Duration) {
        let Some(running) = self.attempts.get(&attempt) else { return };
        let id = running.claim.id;
        let wanted = self.wanted.get_mut(&id).expect("an attempt's artifact is wanted");
        let delay = FIRST_DELAY.saturating_mul(1 << wanted.put_off.min(16)).min(LAST_DELAY);
        wanted.put_off += 1;
        self.timers.set(Timer::Retry(id), &mut wanted.retry_at, now + delay);
        if lacks_space && !wanted.lacks_space {
            wanted.lacks_space = true;
            self.lacking_space += 1;
        }
        self.end_attempt(attempt, lacks_space, now);
    }

    /// A peer has lied about an artifact.
    pub(super) fn blame(&mut self, key: PeerKey, id: ArtifactId, fault: Fault, now: Duration) {
        self.counters.blamed += 1;
        self.report(key, id, fault);
        if let Some(liar) = self.peers.get_mut(&key) {
            liar.blame(id, now);
        }
        self.judge(key, now);
        self.remove_advertiser(key, id);
    }
}
