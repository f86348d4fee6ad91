//! What changes while messages flow: configurations, the replica itself, who is in quarantine; and the
//! replica's own adverts.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use bytes::Bytes;
use gossip_engine::{
    AdvertBroadcaster, ArtifactDestination, ArtifactId, AsyncTransportEventHandlerImpl,
    ChannelConfig, GossipAdvert, IntegrityHash,
};

use super::{
    PEERS,
    record::{Record, peer_id},
    replica::Replica,
};
use crate::harness::changes::{Dice, Losses, random};

/// Between two changes, at the most.
const PERIOD_MS: u64 = 300;
/// One change in so many is of the replica itself.
const REPLACEMENTS: u64 = 15;
/// Before the gate of the broadcaster opens.
const GATE: Duration = Duration::from_millis(200);

/// Changes what can be changed until it is stopped; returns all replicas that there ever were.
pub(crate) fn change(
    handler: &AsyncTransportEventHandlerImpl<Replica>,
    broadcaster: &AdvertBroadcaster<Replica>,
    built: &ChannelConfig,
    record: &Arc<Record>,
    stop: &AtomicBool,
    seed: u64,
) -> Vec<Weak<Replica>> {
    let mut dice = Dice::new(seed);
    thread::sleep(GATE);
    let first = Replica::new(record);
    let mut replicas = vec![Arc::downgrade(&first)];
    broadcaster.start(first);
    // Relaxed: it says nothing about any other memory.
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(dice.roll(PERIOD_MS)));
        if dice.once_in(REPLACEMENTS) {
            let next = Replica::new(record);
            replicas.push(Arc::downgrade(&next));
            handler.replace_gossip(&next);
            broadcaster.start(next);
            record.replacements.add();
        } else {
            let config = random(built, &mut dice, Losses::Allowed);
            handler.reconfigure(config).expect("it changes only what can change");
            handler.lift_quarantine(peer_id(dice.roll(PEERS as u64) as usize));
            record.changes.add();
        }
    }
    replicas
}

/// Announces artifacts in bursts, more than there is capacity for, until it is stopped.
pub(crate) fn announce(broadcaster: &AdvertBroadcaster<Replica>, stop: &AtomicBool, seed: u64) {
    let mut dice = Dice::new(seed);
    let mut number = 0;
    // Relaxed: it says nothing about any other memory.
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..dice.roll(200) {
            number += 1;
            let advert = GossipAdvert {
                artifact_id: ArtifactId::new([5; 32]),
                size: number,
                integrity_hash: IntegrityHash::new([6; 32]),
                attributes: Bytes::new(),
            };
            // What finds no capacity is dropped and counted by the engine.
            let _ = broadcaster.send(advert, ArtifactDestination::AllReplicas);
        }
        thread::sleep(Duration::from_millis(dice.roll(10)));
    }
}
