//! What holds of the state machine between any two events.

use std::collections::BTreeMap;

use gossip_engine::wire::MAX_CHUNK_DATA_BYTES;

use super::*;

impl Downloads {
    /// The sizes of all for which there is space.
    pub(crate) fn granted_bytes(&self) -> u64 {
        let granted = self.attempts.values().filter(|attempt| attempt.granted);
        granted.map(|attempt| attempt.claim.size).sum()
    }

    /// Panics if something does not fit together.
    pub(crate) fn check(&self) {
        let options = &self.options;
        let mut turns: BTreeMap<NodeId, usize> = BTreeMap::new();
        let mut timers = 0;
        assert!(self.attempts.len() <= options.max_downloads, "too many attempts");
        for (id, attempt) in &self.attempts {
            let wanted = &self.wanted[&attempt.claim.id];
            assert_eq!(wanted.attempt, Some(*id), "an attempt that its artifact does not know");
            assert!(wanted.retry_at.is_none(), "tried and put off");
            *turns.entry(attempt.owner).or_default() += 1;
            assert!(attempt.granted || attempt.outstanding.is_empty(), "asked for without space");
            for (chunk, asked) in &attempt.outstanding {
                assert_ne!(Some(asked.first), asked.second, "asked of one peer twice");
                for key in asked.peers() {
                    let peer = &self.peers[&key];
                    let number = peer.asked[&(attempt.claim.id, *chunk)];
                    assert_eq!(peer.requests[&number].attempt, *id, "asked for another attempt");
                    let known = wanted.advertisers[&key].claim;
                    assert!(attempt.admits(peer.name, known), "asked, and not taking part");
                }
            }
            let admitted = wanted.advertisers.values();
            let members = admitted.filter(|known| attempt.admits(known.peer, known.claim)).count();
            assert_eq!(attempt.members, members, "those that take part are counted wrongly");
            assert_eq!(self.open.contains(id), attempt.is_open(), "open, and not known to be");
            assert_eq!(self.late.contains(id), attempt.has_late(), "late, and not known to be");
            let check_at = attempt.check_at.expect("an attempt that nobody looks at");
            assert!(self.timers.contains(check_at, Timer::Attempt(*id)), "no timer");
            timers += 1;
        }
        assert!(self.open.iter().all(|attempt| self.attempts.contains_key(attempt)));
        assert!(self.late.iter().all(|attempt| self.attempts.contains_key(attempt)));
        assert_eq!(turns, self.turns, "turns are counted wrongly");

        for (id, wanted) in &self.wanted {
            assert!(!wanted.advertisers.is_empty() || wanted.attempt.is_some(), "wanted of nobody");
            assert!(wanted.attempt.is_none_or(|attempt| self.attempts.contains_key(&attempt)));
            if let Some(retry_at) = wanted.retry_at {
                assert!(self.timers.contains(retry_at, Timer::Retry(*id)), "put off for ever");
                timers += 1;
            }
            for (key, known) in &wanted.advertisers {
                match self.peers.get(key) {
                    Some(peer) => {
                        assert!(peer.adverts.contains_key(id), "forgotten by its peer");
                        assert_eq!(peer.name, known.peer, "another peer's advert");
                    }
                    None => {
                        let mut departed = self.departed.iter().filter(|(gone, _)| gone == key);
                        assert!(departed.any(|(_, ids)| ids.contains(id)), "never forgotten");
                    }
                }
            }
        }
        let sizes: u64 = self.wanted.values().map(|wanted| wanted.size).sum();
        assert_eq!(self.wanted_bytes, sizes, "bytes are counted wrongly");
        assert!(self.missing_bytes() <= sizes);
        let lacking = self.wanted.values().filter(|wanted| wanted.lacks_space).count();
        assert_eq!(self.lacking_space, lacking, "those without space are counted wrongly");
        assert!(self.allowance <= MAX_ALLOWANCE, "too much may come twice");
        // What is lent to requests, and what is left to lend.
        let requests = self.peers.values().flat_map(|peer| peer.requests.values());
        let lent: u64 = requests.map(|request| request.doubled).sum();
        let largest = (MAX_CHUNK_DATA_BYTES as u64).min(options.max_artifact_bytes);
        let earned = self.counters.chunks_received * (largest / ALLOWED_PART);
        assert!(
            self.allowance + lent <= FIRST_ALLOWANCE + earned,
            "more may come twice than earned"
        );

        assert_eq!(self.names.len(), self.peers.len());
        for (key, peer) in &self.peers {
            assert_eq!(self.names.get(&peer.name), Some(key), "a name that leads elsewhere");
            assert_eq!(peer.requests.len(), peer.asked.len());
            for (number, request) in &peer.requests {
                assert_eq!(peer.asked.get(&(request.id, request.chunk)), Some(number));
            }
            assert!(peer.requests.len() <= options.requests_per_peer, "asked for too much");
            assert_eq!(self.idle.contains(key), peer.is_idle(), "idle, and not known to be");
            let wake_at = peer.wake_at.expect("a peer that nobody looks at");
            assert!(self.timers.contains(wake_at, Timer::Peer(*key)), "no timer");
            timers += 1;
            let most = options.max_adverts_per_peer + FIRST_ADVERTS;
            assert!(peer.adverts.len() <= most, "too many adverts");
            for (id, place) in &peer.adverts {
                let wanted = &self.wanted[id];
                assert!(wanted.advertisers.contains_key(key));
                assert!(place.is_none_or(|place| peer.queue.get(&place) == Some(id)));
                let waits = place.is_some()
                    || wanted.attempt.is_some()
                    || wanted.retry_at.is_some()
                    || self.enqueueing.get(id).is_some_and(|from| from <= key);
                assert!(waits, "an advert that waits for nothing");
            }
            for (place, id) in &peer.queue {
                assert_eq!(peer.adverts.get(id), Some(&Some(*place)), "queued and not advertised");
            }
            let places = self.ring.iter().filter(|listed| *listed == key).count();
            assert_eq!(places, usize::from(peer.listed), "in the ring, and does not know");
            let may_begin = self.turns.get(&peer.name).copied().unwrap_or(0) < self.share();
            assert!(peer.listed || peer.queue.is_empty() || !may_begin, "its turn never comes");
        }
        assert!(self.ring.iter().all(|peer| self.peers.contains_key(peer)), "listed and gone");
        assert!(self.idle.iter().all(|peer| self.peers.contains_key(peer)), "idle and gone");
        assert!(self.suspects.iter().all(|peer| self.peers.contains_key(peer)));
        assert_eq!(self.timers.len(), timers, "timers of nobody");
    }
}
