//! Lets connections in: from a first packet to a proven key, then to the peer's task.
//!
//! Until a key is proven anybody may be at the other end. How many connections may be in that state is decided by
//! their [`Places`]; each is there for at most [`HANDSHAKE_TIMEOUT`]. A packet for which there is no place is dropped,
//! so that its sender repeats it and comes in when there is one. An unlisted key is said at most once in
//! [`NOTICE_INTERVAL`], with the count: anybody may connect.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use gossip_engine::NodeId;
use quinn::{Connection, ConnectionError, Endpoint, Incoming, ServerConfig, TransportErrorCode};
use rustls::pki_types::CertificateDer;
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};

use super::{
    address::canonical,
    counters::Counters,
    endpoint::{self, Settings},
    limits::{HANDSHAKE_TIMEOUT, NOTICE_INTERVAL},
    members::Slots,
    places::{Entry, Place, Places},
    seldom::Seldom,
    stop::Stop,
    supervisor::say_surely,
};
use crate::tls::{self, AllowedKeys, Credentials, Refused};

/// How a handshake has ended.
enum Handshake {
    /// With a key that is listed.
    Proven(Connection),
    /// The dialler has left before it was proven, as an honest one does when both dial at the same time.
    GivenUp,
    /// Without a listed key, or not in time.
    Rejected,
}

impl Handshake {
    fn failed(error: &ConnectionError) -> Self {
        let is_closed = match error {
            ConnectionError::ApplicationClosed(_) => true,
            // What stands for the same while the keys are not agreed upon (RFC 9000, section 10.2.3).
            ConnectionError::ConnectionClosed(close) => {
                close.error_code == TransportErrorCode::APPLICATION_ERROR
            }
            _ => false,
        };
        if is_closed { Self::GivenUp } else { Self::Rejected }
    }
}

/// Accepts a transport's connections.
#[derive(Debug)]
pub(super) struct Acceptor {
    pub(super) endpoint: Endpoint,
    pub(super) config: ServerConfig,
    pub(super) credentials: Credentials,
    pub(super) settings: Arc<ArcSwap<Settings>>,
    pub(super) keys: Arc<AllowedKeys>,
    pub(super) places: Arc<Places>,
    pub(super) slots: Arc<ArcSwap<Slots>>,
    pub(super) counters: Arc<Counters>,
    pub(super) stop: Stop,
    /// Set when the system refuses to receive, or QUIC's own task is gone for another reason.
    pub(super) network_lost: Stop,
    pub(super) strangers: Strangers,
}

impl Acceptor {
    /// Lets connections in until the transport stops.
    pub(super) async fn keep_accepting(self: Arc<Self>) {
        let mut handshakes = JoinSet::new();
        loop {
            tokio::select! {
                () = self.stop.wait() => break,
                Some(ended) = handshakes.join_next() => match ended {
                    Ok(Handshake::Proven(connection)) => self.hand_over(connection),
                    Ok(Handshake::GivenUp) => self.counters.abandoned_handshakes.increment(),
                    Ok(Handshake::Rejected) => self.counters.rejected_handshakes.increment(),
                    Err(error) => {
                        self.counters.rejected_handshakes.increment();
                        if error.is_panic() {
                            self.counters.failed_tasks.increment();
                            say_surely(|| tracing::error!("the task of a handshake has panicked"));
                        }
                    }
                },
                incoming = self.endpoint.accept() => match incoming {
                    Some(incoming) => self.receive(incoming, &mut handshakes),
                    None if self.stop.is_set() => break,
                    None => {
                        // QUIC's own task is gone, which this one cannot start again.
                        self.counters.failed_tasks.increment();
                        self.network_lost.set();
                        tracing::error!("the network is gone; no peer can connect any more");
                        break;
                    }
                },
            }
        }
        // Who comes now is not answered, as if nobody were here.
        self.endpoint.set_server_config(None);
    }

    fn receive(self: &Arc<Self>, incoming: Incoming, handshakes: &mut JoinSet<Handshake>) {
        match self.places.enter(incoming.remote_address(), incoming.remote_address_validated()) {
            Entry::Enter(place) => {
                handshakes.spawn(self.clone().shake_hands(incoming, place));
            }
            Entry::ShowAddress if incoming.may_retry() => {
                // It fails for an address that is proven already, which was asked just now.
                let _ = incoming.retry();
            }
            Entry::ShowAddress | Entry::Full => {
                self.counters.deferred_handshakes.increment();
                incoming.ignore();
            }
        }
    }

    /// Waits until the key is proven, for [`HANDSHAKE_TIMEOUT`].
    async fn shake_hands(self: Arc<Self>, incoming: Incoming, _place: Place) -> Handshake {
        let (from, refused) = (canonical(incoming.remote_address()), Refused::default());
        // Not the endpoint's own settings, which let nobody in.
        let config = endpoint::answer(
            &self.config,
            &self.credentials,
            &self.settings.load(),
            self.keys.clone(),
            refused.clone(),
        );
        let connecting = match incoming.accept_with(config) {
            Ok(connecting) => connecting,
            Err(error) => return Handshake::failed(&error),
        };
        match timeout(HANDSHAKE_TIMEOUT, connecting).await {
            Ok(Ok(connection)) => Handshake::Proven(connection),
            Ok(Err(error)) => match refused.get() {
                Some(key) => {
                    self.strangers.report(&self.credentials, *key, from);
                    Handshake::Rejected
                }
                None => Handshake::failed(&error),
            },
            Err(_) => Handshake::Rejected,
        }
    }

    fn hand_over(&self, connection: Connection) {
        match peer_of(&connection).and_then(|peer| self.slots.load().get(&peer).cloned()) {
            Some(slot) => {
                slot.handover.put(connection);
                // It may have been taken off the list since it was looked up.
                if slot.removed.is_set() {
                    slot.handover.cut_off();
                }
            }
            // It was taken off the list just now. Dropping the connection closes it.
            None => self.counters.rejected_handshakes.increment(),
        }
    }
}

/// Who has proven to be at the other end.
fn peer_of(connection: &Connection) -> Option<NodeId> {
    let keys = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    tls::node_id_of(keys.first()?).ok()
}

/// What the log says of those who are not let in.
#[derive(Debug)]
pub(super) struct Strangers {
    unlisted: Mutex<Seldom>,
    own_key: Mutex<Seldom>,
}

impl Default for Strangers {
    fn default() -> Self {
        let seldom = || Mutex::new(Seldom::new(NOTICE_INTERVAL));
        Self { unlisted: seldom(), own_key: seldom() }
    }
}

impl Strangers {
    /// They have not proven the key: it is refused before they could.
    fn report(&self, own: &Credentials, key: NodeId, from: std::net::SocketAddr) {
        let due = |seldom: &Mutex<Seldom>| {
            seldom.lock().unwrap_or_else(PoisonError::into_inner).due(Instant::now())
        };
        if key == own.node_id() {
            if let Some(count) = due(&self.own_key) {
                tracing::warn!(%from, count, "another replica uses this key, or this one dials itself");
            }
        } else if let Some(count) = due(&self.unlisted) {
            // In full, so that it can be put on the list.
            let key = format_args!("{key:x}");
            tracing::warn!(key, %from, count, "refused a key that is not listed");
        }
    }
}
