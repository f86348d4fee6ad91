//! How a peer is dialled: its name resolved, its addresses tried in turn.
//!
//! A connection counts as made when the accepter has opened its first stream: before that, the accepter may still
//! refuse our key or prefer another connection. Each address gets [`HANDSHAKE_TIMEOUT`], or [`ADDRESS_TIMEOUT`] while
//! there is another one to try.

use std::{
    fmt::Display,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use arc_swap::ArcSwap;
use gossip_engine::NodeId;
use quinn::{Connection, Endpoint, RecvStream};
use tokio::time::timeout;

use super::{
    address::{PeerAddress, Resolver},
    departure::DialError,
    endpoint::{self, Settings},
    limits::{ADDRESS_TIMEOUT, HANDSHAKE_TIMEOUT},
    places::Places,
};
use crate::tls::{Credentials, Refused, SERVER_NAME};

/// What every dial needs.
#[derive(Clone, Debug)]
pub(super) struct Dialler {
    pub(super) endpoint: Endpoint,
    pub(super) local: SocketAddr,
    pub(super) credentials: Credentials,
    pub(super) settings: Arc<ArcSwap<Settings>>,
    pub(super) places: Arc<Places>,
    pub(super) resolver: Resolver,
}

impl Dialler {
    /// A connection that the peer serves, and the stream that shows it; or why not, in words that begin with the
    /// address. `met` is set while somebody at the other end has proven to be the peer.
    pub(super) async fn dial(
        &self,
        peer: NodeId,
        name: &PeerAddress,
        met: &AtomicBool,
    ) -> Result<(Connection, RecvStream), String> {
        let failed = |error| format!("{name} {error}");
        let addresses = name
            .resolve(self.local, &self.resolver)
            .await
            .map_err(|error| failed(DialError::Resolve(error)))?;
        self.places.know(peer, &addresses);
        let mut failure = None;
        let mut left = addresses.len();
        for address in addresses {
            left -= 1;
            let limit = if left == 0 { HANDSHAKE_TIMEOUT } else { ADDRESS_TIMEOUT };
            let dialled = timeout(limit, self.dial_address(peer, address, met)).await;
            // Relaxed: only the task that polls this looks at it.
            met.store(false, Relaxed);
            match dialled.unwrap_or(Err(DialError::NoAnswer)) {
                Ok(connection) => return Ok(connection),
                // What somebody has answered says more than that others have not.
                Err(DialError::NoAnswer) if failure.is_some() => {}
                Err(error) => failure = Some(shown(name, address, &error)),
            }
        }
        Err(failure.unwrap_or_else(|| failed(DialError::NoAnswer)))
    }

    async fn dial_address(
        &self,
        peer: NodeId,
        address: SocketAddr,
        met: &AtomicBool,
    ) -> Result<(Connection, RecvStream), DialError> {
        let refused = Refused::default();
        let config = endpoint::client_config(
            &self.credentials,
            peer,
            refused.clone(),
            &self.settings.load(),
        );
        let failed =
            |error| DialError::new(&error, self.credentials.node_id(), refused.get().copied());
        let connecting =
            self.endpoint.connect_with(config, address, SERVER_NAME).map_err(DialError::Address)?;
        let connection = connecting.await.map_err(failed)?;
        met.store(true, Relaxed);
        let first = connection.accept_uni().await.map_err(failed)?;
        Ok((connection, first))
    }
}

fn shown(name: &PeerAddress, address: SocketAddr, error: &dyn Display) -> String {
    if name.literal().is_some() {
        format!("{name} {error}")
    } else {
        format!("{name} ({address}) {error}")
    }
}
