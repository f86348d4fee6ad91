//! Who lives and who is connected with whom, as events change it.
//!
//! ```text
//!         start                connect                 stop, split
//! (gone) ──────> alone ─────────────────> connected ──────────────> silent
//!                  ^                          ^                      │  │
//!                  │                          └── connect ───────────┘  │
//!                  └────────────── unseen, an idle timeout later ───────┘
//! ```

use std::time::Duration;

use super::{
    events::Event,
    faults::{Fate, nanos},
    hostile::Hostile,
    member::Member,
    network::id_of,
    port::Port,
    world::{TICK, World},
};
use crate::transport::limits::{IDLE_TIMEOUT, LAST_BACKOFF};

/// Within how much time of its start a replica is connected with all that it can reach.
const CONNECTED_WITHIN: Duration = Duration::from_millis(200);

impl World {
    pub(super) fn start(&mut self, node: u32, now: u64) {
        let port = Port { node, network: self.network.clone() };
        let at = &mut self.nodes[node as usize];
        at.life += 1;
        let life = at.life;
        at.member = Some(match at.fate {
            Fate::Hostile(kind) => {
                Member::Hostile(Box::new(Hostile::new(kind, port, self.wrong.clone())))
            }
            _ => Member::replica(&self.options, &at.store, &self.clock, port, life),
        });
        let first_tick = now + self.random.below(TICK);
        let mut network = self.network.lock();
        network.set_alive(node, true);
        network.events.at(first_tick, Event::Tick { node, life });
        // At the beginning, the second of two to start connects them.
        let peers: Vec<u32> = network.neighbours(node).collect();
        for peer in peers {
            if network.can_reach(node, peer) {
                let at = now + self.random.below(nanos(CONNECTED_WITHIN));
                network.events.at(at, Event::Connect { a: node, b: peer });
            }
        }
    }

    /// Its peers do not see it.
    pub(super) fn stop(&mut self, node: u32, now: u64) {
        if let Some(Member::Replica(gossip)) = self.nodes[node as usize].member.take() {
            self.fetched.add(&gossip.snapshot().fetched);
        }
        let mut network = self.network.lock();
        network.set_alive(node, false);
        let peers: Vec<u32> = network.neighbours(node).collect();
        for peer in peers {
            network.disconnect(node, peer);
            if let Some(connection) = network.connection(peer, node) {
                let event = Event::Unseen { node: peer, peer: node, connection };
                network.events.at(now + nanos(IDLE_TIMEOUT), event);
            }
        }
    }

    pub(super) fn connect(&mut self, a: u32, b: u32) {
        {
            let network = self.network.lock();
            let same = network.connection(a, b).is_some()
                && network.connection(a, b) == network.connection(b, a);
            if same || !network.can_reach(a, b) {
                return;
            }
        }
        for (node, peer) in [(a, b), (b, a)] {
            if self.network.lock().connection(node, peer).is_some() {
                self.peer_down(node, peer);
            }
        }
        self.network.lock().connect(a, b);
        for (node, peer) in [(a, b), (b, a)] {
            if let Some(member) = &mut self.nodes[node as usize].member {
                member.peer_up(id_of(peer));
            }
        }
    }

    fn peer_down(&mut self, node: u32, peer: u32) {
        self.network.lock().disconnect(node, peer);
        if let Some(member) = &mut self.nodes[node as usize].member {
            member.peer_down(id_of(peer));
        }
    }

    pub(super) fn unseen(&mut self, node: u32, peer: u32, connection: u64) {
        if self.network.lock().connection(node, peer) == Some(connection) {
            self.peer_down(node, peer);
        }
    }

    pub(super) fn split(&mut self, now: u64) {
        let mut network = self.network.lock();
        network.set_split(true);
        for (a, b) in &self.links {
            for (node, peer) in [(*a, *b), (*b, *a)] {
                if let Some(connection) = network.connection(node, peer)
                    && !network.can_reach(node, peer)
                {
                    let event = Event::Unseen { node, peer, connection };
                    network.events.at(now + nanos(IDLE_TIMEOUT), event);
                }
            }
        }
    }

    pub(super) fn heal(&mut self, now: u64) {
        let mut network = self.network.lock();
        network.set_split(false);
        for (a, b) in &self.links {
            // A connection that is there is left as it is.
            let at = now + self.random.below(nanos(LAST_BACKOFF));
            network.events.at(at, Event::Connect { a: *a, b: *b });
        }
    }
}
