//! Lets connections in: from a first packet to a proven key, then to the peer's task.
//!
//! Until a key is proven anybody may be at the other end. At most [`MAX_HANDSHAKES`] connections are
//! in that state, each for at most [`HANDSHAKE_TIMEOUT`]; from [`RETRY_FROM_HANDSHAKES`] on a dialler
//! has to show first that it receives at its address, and beyond the limit its packets are dropped,
//! so that it repeats them and comes in when there is capacity. Failures are counted, not logged: anybody
//! could fill the log with them.

use std::{collections::HashMap, sync::Arc};

use gossip_engine::NodeId;
use quinn::{Connection, Endpoint, Incoming, ServerConfig};
use rustls::pki_types::CertificateDer;
use tokio::{task::JoinSet, time::timeout};

use super::{
    counters::Counters,
    handover::Handover,
    limits::{HANDSHAKE_TIMEOUT, MAX_HANDSHAKES, RETRY_FROM_HANDSHAKES},
    stop::Stop,
};
use crate::tls;

/// The door of a transport.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) endpoint: Endpoint,
    pub(super) config: Arc<ServerConfig>,
    /// The peers that dial us.
    pub(super) handovers: HashMap<NodeId, Arc<Handover>>,
    pub(super) counters: Arc<Counters>,
    pub(super) stop: Stop,
}

impl Door {
    /// Lets connections in until the transport stops.
    pub(super) async fn keep_open(self) {
        let mut handshakes = JoinSet::new();
        loop {
            tokio::select! {
                () = self.stop.wait() => break,
                Some(ended) = handshakes.join_next() => match ended {
                    Ok(Some(connection)) => self.hand_over(connection),
                    Ok(None) | Err(_) => self.counters.rejected_handshakes.increment(),
                },
                incoming = self.endpoint.accept() => match incoming {
                    Some(incoming) => self.receive(incoming, &mut handshakes),
                    None => {
                        tracing::error!("the network is gone; no peer can connect any more");
                        break;
                    }
                },
            }
        }
        // Who comes now is not answered, as if nobody were here.
        self.endpoint.set_server_config(None);
    }

    fn receive(&self, incoming: Incoming, handshakes: &mut JoinSet<Option<Connection>>) {
        if handshakes.len() >= MAX_HANDSHAKES {
            self.counters.deferred_handshakes.increment();
            incoming.ignore();
        } else if handshakes.len() >= RETRY_FROM_HANDSHAKES && incoming.may_retry() {
            self.counters.deferred_handshakes.increment();
            // It fails for an address that is proven already, which was asked just now.
            let _ = incoming.retry();
        } else {
            // Not the endpoint's own settings: a connection that arrived before the start came under
            // those that let nobody in.
            let config = self.config.clone();
            handshakes.spawn(async {
                let connecting = incoming.accept_with(config).ok()?;
                timeout(HANDSHAKE_TIMEOUT, connecting).await.ok()?.ok()
            });
        }
    }

    fn hand_over(&self, connection: Connection) {
        match peer_of(&connection).and_then(|peer| self.handovers.get(&peer)) {
            Some(handover) => handover.put(connection),
            // The verifier lets in nobody else. Dropping the connection closes it.
            None => self.counters.rejected_handshakes.increment(),
        }
    }
}

/// Who has proven to be at the other end.
fn peer_of(connection: &Connection) -> Option<NodeId> {
    let certificates =
        connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    tls::node_id_of(certificates.first()?).ok()
}
