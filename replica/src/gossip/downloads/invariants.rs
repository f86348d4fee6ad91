//! What holds of the state machine between any two events.

use std::collections::BTreeMap;

use super::*;

impl Downloads {
    /// What this replica lacks.
    pub(crate) fn wanted(&self) -> impl Iterator<Item = ArtifactId> {
        self.wanted.keys().copied()
    }

    /// Panics if something does not fit together.
    pub(crate) fn check(&self) {
        let options = &self.options;
        let mut outstanding: BTreeMap<NodeId, usize> = BTreeMap::new();
        let mut turns: BTreeMap<NodeId, usize> = BTreeMap::new();
        assert!(self.attempts.len() <= options.max_downloads, "too many attempts");
        for (id, attempt) in &self.attempts {
            let wanted = &self.wanted[&attempt.claim.id];
            assert_eq!(wanted.attempt, Some(*id), "an attempt that its artifact does not know");
            *turns.entry(attempt.owner).or_default() += 1;
            for request in attempt.outstanding.values() {
                assert!(attempt.participants.contains(&request.peer), "asked, and not taking part");
                *outstanding.entry(request.peer).or_default() += 1;
            }
            for peer in &attempt.participants {
                assert!(self.peers[peer].serving.contains(id), "takes part, and does not know");
                let advertiser = wanted.advertisers.iter().find(|known| known.peer == *peer);
                let advertiser = advertiser.expect("takes part, and does not advertise");
                assert!(attempt.admits(*peer, advertiser.claim), "takes part by another claim");
            }
        }
        assert_eq!(turns, self.turns, "turns are counted wrongly");

        for (id, wanted) in &self.wanted {
            assert!(!wanted.advertisers.is_empty() || wanted.attempt.is_some(), "wanted of nobody");
            assert!(wanted.attempt.is_none_or(|attempt| self.attempts.contains_key(&attempt)));
            for (at, known) in wanted.advertisers.iter().enumerate() {
                assert!(self.peers[&known.peer].adverts.contains_key(id), "forgotten by its peer");
                let again = wanted.advertisers[..at].iter().any(|other| other.peer == known.peer);
                assert!(!again, "advertised twice by one peer");
            }
        }

        for (name, peer) in &self.peers {
            let asked = outstanding.get(name).copied().unwrap_or(0);
            assert_eq!(peer.outstanding, asked, "outstanding chunks are counted wrongly");
            assert!(asked <= options.requests_per_peer, "asked for too much");
            assert!(peer.adverts.len() <= options.max_adverts_per_peer, "too many adverts");
            for (id, place) in &peer.adverts {
                let wanted = &self.wanted[id];
                assert!(wanted.advertisers.iter().any(|known| known.peer == *name));
                assert!(place.is_none_or(|place| peer.queue.get(&place) == Some(id)));
                let waits = place.is_some() || wanted.attempt.is_some();
                assert!(waits, "an advert that waits for nothing");
            }
            for (place, id) in &peer.queue {
                assert_eq!(peer.adverts.get(id), Some(&Some(*place)), "queued and not advertised");
            }
            for attempt in &peer.serving {
                assert!(self.attempts[attempt].participants.contains(name));
            }
            let places = self.ring.iter().filter(|listed| *listed == name).count();
            assert_eq!(places, usize::from(peer.listed), "in the ring, and does not know");
            let may_begin = self.turns.get(name).copied().unwrap_or(0) < self.share();
            assert!(peer.listed || peer.queue.is_empty() || !may_begin, "its turn never comes");
        }
        assert!(self.ring.iter().all(|peer| self.peers.contains_key(peer)), "listed and gone");
        assert!(outstanding.keys().all(|peer| self.peers.contains_key(peer)), "asked and gone");
    }
}
