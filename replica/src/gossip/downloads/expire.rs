//! What happens by time alone: chunks are late or time out, attempts give way, adverts are asked for again.
//!
//! A tick looks at what is due, and at no more than [`TICK_WORK`] peers and attempts for it: what is due
//! beyond that is due with the next tick.

use std::{collections::BTreeSet, time::Duration};

use super::{AttemptId, Downloads, LOOK, peer::PeerKey, timers::Timer};

/// How many peers and attempts one tick looks at.
const TICK_WORK: usize = 192;
/// After how many chunk time-outs without progress an attempt has stalled, at first.
const STALL_TIMEOUTS: u32 = 2;
/// How many times as long it may be quiet while its peers are busy with others.
const BUSY_FACTOR: u32 = 4;
/// How long an attempt may take, at first, if other claims or other peers wait for their try.
const LEASE: Duration = Duration::from_secs(120);
/// How often stall and lease double.
const MAX_DOUBLINGS: u32 = 8;
/// How soon after asking for adverts a peer may be asked again because there is capacity for more.
const EARLIEST_ASK: Duration = Duration::from_secs(5);
/// How soon something is looked at again that is due and waits for something else.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl Downloads {
    /// Time has passed.
    pub(crate) fn tick(&mut self, now: Duration) {
        self.work = 0;
        self.forget_departed();
        self.enqueue_rest(now);
        while self.work < TICK_WORK
            && let Some(timer) = self.timers.pop_due(now)
        {
            self.work += 1;
            match timer {
                Timer::Peer(key) => self.look_at_peer(key, now),
                Timer::Attempt(attempt) => self.look_at_attempt(attempt, now),
                Timer::Retry(id) => {
                    if let Some(wanted) = self.wanted.get_mut(&id) {
                        wanted.retry_at = None;
                        self.enqueue_for_all(id, now);
                    }
                }
            }
        }
        self.look_at_idle(now);
        // After a pause the ring is still full.
        self.begin_attempts(now);
    }

    fn look_at_peer(&mut self, key: PeerKey, now: Duration) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        peer.wake_at = None;
        let (late_after, timeout) =
            (peer.pace.late_after(), peer.pace.timeout(self.options.chunk_timeout));
        let (mut timed_out, mut touched) = (Vec::new(), BTreeSet::new());
        for (number, request) in &mut peer.requests {
            let silence = now.saturating_sub(request.silent_since);
            if silence >= timeout {
                timed_out.push(*number);
            } else if !request.late
                && silence >= patience(late_after, self.open.contains(&request.attempt))
            {
                request.late = true;
                if let Some(running) = self.attempts.get_mut(&request.attempt)
                    && running.be_late(request.chunk, key)
                {
                    touched.insert(request.attempt);
                }
            }
        }
        if !timed_out.is_empty() {
            peer.time_out(timed_out.len(), now);
        }
        self.work += peer.requests.len() / 16;
        self.counters.chunks_timed_out += timed_out.len() as u64;
        let mut unused = 0;
        for number in timed_out {
            let Some(request) = peer.forget(number) else { continue };
            peer.remember_late(request);
            unused += request.doubled;
            if let Some(running) = self.attempts.get_mut(&request.attempt) {
                running.release(request.chunk, key, true);
                touched.insert(request.attempt);
            }
        }
        self.allow(unused);
        self.index_peer(key);
        self.judge(key, now);
        for attempt in touched {
            self.index_attempt(attempt);
            self.fill_attempt(attempt, now);
        }
        self.ask_when_due(key, now);
        self.fill_peer(key, now);
        self.schedule_look(key, now);
    }

    /// Sets a peer's timer to what is due next.
    fn schedule_look(&mut self, key: PeerKey, now: Duration) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        let (late_after, timeout) =
            (peer.pace.late_after(), peer.pace.timeout(self.options.chunk_timeout));
        let requests = peer.requests.values().map(|request| {
            let wait = if request.late {
                timeout
            } else {
                patience(late_after, self.open.contains(&request.attempt)).min(timeout)
            };
            request.silent_since + wait
        });
        let others = [peer.rest_until, peer.suspect_until()].into_iter().filter(|at| *at > now);
        let refused = peer.refused.then(|| (peer.asked_at + EARLIEST_ASK).max(now + LOOK_AGAIN));
        let next = requests.chain(others).chain(refused).fold(peer.ask_at, Duration::min);
        let next = next.max(now + Duration::from_millis(1));
        self.timers.set(Timer::Peer(key), &mut peer.wake_at, next);
    }

    fn look_at_attempt(&mut self, attempt: AttemptId, now: Duration) {
        let Some(running) = self.attempts.get_mut(&attempt) else { return };
        running.check_at = None;
        let id = running.claim.id;
        if !self.must_give_way(attempt, now) {
            self.schedule_check(attempt, now);
            return;
        }
        let running = &self.attempts[&attempt];
        if let Some(wanted) = self.wanted.get_mut(&id) {
            let known = wanted.advertisers.values_mut();
            for tried in known.filter(|known| running.admits(known.peer, known.claim)) {
                tried.gave_way = running.gave_way + 1;
            }
        }
        self.counters.given_up += 1;
        self.end_attempt(attempt, true, now);
    }

    /// Sets an attempt's timer to when it may have to give way.
    pub(super) fn schedule_check(&mut self, attempt: AttemptId, now: Duration) {
        let Some(running) = self.attempts.get_mut(&attempt) else { return };
        let patience = 1 << running.gave_way.min(MAX_DOUBLINGS);
        let timeout = self.options.chunk_timeout * patience;
        let times = [
            running.progressed + timeout,
            running.progressed + timeout * STALL_TIMEOUTS,
            running.started + LEASE * patience,
        ];
        let next = times.into_iter().filter(|at| *at > now).min();
        // What could be due already may still become so, by what others do.
        let again = times.iter().any(|at| *at <= now).then_some(now + LOOK_AGAIN);
        let next = next.into_iter().chain(again).min().unwrap_or(now + LOOK_AGAIN);
        self.timers.set(Timer::Attempt(attempt), &mut running.check_at, next);
    }

    fn must_give_way(&self, attempt: AttemptId, now: Duration) -> bool {
        let running = &self.attempts[&attempt];
        if running.finishing {
            return false;
        }
        let wanted = &self.wanted[&running.claim.id];
        let patience = 1 << running.gave_way.min(MAX_DOUBLINGS);
        let quiet = now.saturating_sub(running.progressed);
        let stalled = self.options.chunk_timeout * STALL_TIMEOUTS * patience;
        if quiet >= stalled * BUSY_FACTOR || quiet >= stalled && !self.waits_its_turn(attempt) {
            return true;
        }
        if !running.is_incomplete() || wanted.advertisers.len() <= running.members {
            return false;
        }
        if now.saturating_sub(running.started) >= LEASE * patience {
            return true;
        }
        // Nobody answers here, and somebody else might.
        let mut others = wanted.advertisers.iter().take(LOOK).filter(|(key, known)| {
            !running.admits(known.peer, known.claim) && self.peers.contains_key(key)
        });
        quiet >= self.options.chunk_timeout * patience
            && !self.has_trusted(attempt, None)
            && others.any(|(key, _)| !self.suspects.contains(key))
    }

    /// Whether an attempt is quiet only because those that are asked, or would be, are busy with others. If they
    /// were silent instead, they would be suspect.
    fn waits_its_turn(&self, attempt: AttemptId) -> bool {
        let running = &self.attempts[&attempt];
        let trusted = |key: &PeerKey| self.peers.contains_key(key) && !self.suspects.contains(key);
        if !running.outstanding.is_empty() {
            let mut asked = running.outstanding.values().take(LOOK).flat_map(|asked| asked.peers());
            return asked.any(|key| trusted(&key));
        }
        let mut known = self.wanted[&running.claim.id].advertisers.iter().take(LOOK);
        known.any(|(key, known)| {
            running.admits(known.peer, known.claim) && trusted(key) && !self.idle.contains(key)
        })
    }

    fn ask_when_due(&mut self, key: PeerKey, now: Duration) {
        let Some(asked) = self.peers.get(&key) else { return };
        let room_again = asked.refused
            && asked.adverts.len() <= self.options.max_adverts_per_peer / 2
            && now.saturating_sub(asked.asked_at) >= EARLIEST_ASK;
        if room_again || now >= asked.ask_at {
            self.ask_adverts(key, now);
        }
    }

    /// An advert of a peer has gone: there may be capacity for those that were refused.
    pub(super) fn retract(&mut self, key: PeerKey, id: gossip_engine::ArtifactId) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        peer.retract(id);
        if peer.refused {
            let at = peer.asked_at + EARLIEST_ASK;
            self.wake_by(key, at);
        }
    }
}

/// How long a peer has before a second one is asked: longer while there is other work for the second.
fn patience(late_after: Duration, open: bool) -> Duration {
    if open { late_after * 2 } else { late_after }
}
