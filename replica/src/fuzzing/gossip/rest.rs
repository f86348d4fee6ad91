//! The end of an input: what must hold at rest.

use std::{fs, time::Duration};

use bytes::Bytes;
use gossip_engine::{Gossip as _, NodeId};

use super::{Game, PEERS, chunk, options};
use crate::{
    gossip::{GossipSnapshot, advert_of},
    store::Artifact,
};

const HONEST: NodeId = NodeId::new([9; 32]);
/// How long the honest peer may take, and how often it looks: patience with those that are gone doubles.
const LAST_TRY: Duration = Duration::from_secs(20_000);
const LAST_TICK: Duration = Duration::from_secs(5);
/// For how long parts of artifacts are kept.
const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

impl Game {
    /// All peers leave, the disk works again and an honest peer comes, who has to be enough.
    pub(super) fn end(mut self) {
        if self.world.folder.path().join("away").exists() {
            self.disturb();
        }
        self.world.set_free(u64::MAX);
        let gossip = &self.world.gossip;
        for peer in 1..=PEERS {
            let peer = NodeId::new([peer as u8; 32]);
            self.world.network().connected.remove(&peer);
            gossip.on_peer_down(peer);
            self.world.check();
        }
        for held in gossip.store().list_from(0, usize::MAX) {
            // What is damaged goes, and comes again.
            let intact = gossip.store().verify(held.id).expect("what is held can be read");
            let network = self.world.network();
            let touched = network.damaged.contains(&held.id) || network.removed.contains(&held.id);
            assert!(intact || touched, "wrong bytes were stored");
        }

        self.world.network().connected.insert(HONEST);
        gossip.on_peer_up(HONEST);
        let mut passed = Duration::ZERO;
        let is_over = |snapshot: &GossipSnapshot| {
            let all = self.world.catalogue.len() as u64;
            (snapshot.artifacts, snapshot.wanted, snapshot.active) == (all, 0, 0)
        };
        while !is_over(&gossip.snapshot()) {
            assert!(passed < LAST_TRY, "one honest peer is not enough: {:#?}", gossip.snapshot());
            if !self.be_honest() {
                self.world.pass(LAST_TICK);
                passed += LAST_TICK;
                gossip.on_gossip_timer();
            }
            self.world.check();
        }
        for id in self.world.catalogue.keys() {
            assert!(gossip.store().verify(*id).expect("what is held can be read"));
        }
        // What was kept of artifacts that nobody has goes in time.
        for _ in 0..2 {
            self.world.pass(KEPT_FOR);
            gossip.on_gossip_timer();
            self.world.check();
        }
        let left = fs::read_dir(self.partial()).expect("the folder is there").count();
        // What could not be removed while the disk was out of order is removed at the next start.
        assert!(left == 0 || self.disturbed, "{left} files are left over");
    }

    /// The honest peer does what it is asked for; `false` if there is nothing.
    fn be_honest(&self) -> bool {
        let gossip = &self.world.gossip;
        if self.world.network().asked.remove(&HONEST) {
            for (id, content) in self.world.catalogue.iter() {
                let artifact = Artifact { id: *id, size: content.len() as u64, height: 1 };
                gossip.on_gossip_advert(advert_of(artifact, None, &options()), HONEST);
            }
            return true;
        }
        let requests = self.world.network().requests.remove(&HONEST).unwrap_or_default();
        for request in &requests {
            let content = &self.world.catalogue[&request.artifact_id];
            let mut chunks = content.chunks(options().chunk_bytes as usize);
            let bytes = chunks.nth(request.chunk_number as usize).expect("asks for what there is");
            let payload = Ok(Bytes::copy_from_slice(bytes));
            gossip
                .on_gossip_chunk(chunk(request.artifact_id, request.chunk_number, payload), HONEST);
        }
        !requests.is_empty()
    }
}
