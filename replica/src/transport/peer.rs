//! The life of one peer: one task that serves its connections one after the other.
//!
//! Of two replicas the one with the smaller id dials and the other accepts, so that there is one
//! connection between them and no doubt which. Because one task serves all connections of a peer, the
//! departure of an old connection always comes before the arrival of the next. A connection counts as
//! served for the dialler when the accepter has opened its first stream: before that, the accepter may
//! still refuse the dialler's key.

use std::{future::pending, net::SocketAddr, sync::Arc};

use quinn::{ClientConfig, Connection, ConnectionError, Endpoint, RecvStream, VarInt};
use tokio::time::{Instant, sleep, timeout};

use super::{
    backoff::{Backoff, Penalty},
    breach::CLOSE_SHUT_OUT,
    connection::{Outcome, PeerContext},
    handler::Handler,
    handover::Handover,
    limits::{CONNECTION_SPACING, HANDSHAKE_TIMEOUT},
};
use crate::tls::SERVER_NAME;

/// How to reach a peer.
#[derive(Clone, Debug)]
pub(super) struct Route {
    pub(super) endpoint: Endpoint,
    pub(super) address: SocketAddr,
    pub(super) config: ClientConfig,
}

impl<H: Handler> PeerContext<H> {
    /// Dials the peer and serves the connection, again and again, until the transport stops.
    pub(super) async fn keep_dialling(mut self, route: Route, mut penalty: Penalty) {
        let mut backoff = Backoff::new();
        let mut failure_told = false;
        loop {
            let wait = backoff.next().max(penalty.left(Instant::now()));
            let attempt = async {
                sleep(wait).await;
                route.dial().await
            };
            let dialled = tokio::select! {
                () = self.stop.wait() => return,
                dialled = attempt => dialled,
            };
            match dialled {
                Ok((connection, first)) => {
                    failure_told = false;
                    match self.serve(connection, Some(first), pending()).await {
                        Outcome::Breach(_) => penalty.impose(Instant::now()),
                        Outcome::Lost { steady: true } => backoff.reset(),
                        _ => {}
                    }
                }
                Err(reason) => {
                    self.counters.failed_dials.increment();
                    if !failure_told {
                        failure_told = true;
                        tracing::info!(peer = %self.peer, address = %route.address, %reason, "cannot reach a peer; trying on");
                    }
                }
            }
        }
    }

    /// Serves the connections that the peer makes, the newest first, until the transport stops.
    pub(super) async fn keep_accepting(mut self, handover: Arc<Handover>, mut penalty: Penalty) {
        loop {
            let connection = tokio::select! {
                () = self.stop.wait() => return,
                connection = handover.take() => connection,
            };
            if connection.close_reason().is_some() {
                continue;
            }
            if !penalty.left(Instant::now()).is_zero() {
                self.counters.shut_out.increment();
                connection.close(CLOSE_SHUT_OUT, b"shut out for a while");
                continue;
            }
            if let Outcome::Breach(_) = self.serve(connection, None, handover.filled()).await {
                penalty.impose(Instant::now());
            }
            tokio::select! {
                () = self.stop.wait() => return,
                () = sleep(CONNECTION_SPACING) => {}
            }
        }
    }
}

/// Why a peer was not reached.
#[derive(Debug, thiserror::Error)]
enum DialError {
    #[error("{0}")]
    Address(#[from] quinn::ConnectError),
    #[error("no answer in time")]
    Timeout,
    #[error("refused by QUIC or TLS ({0})")]
    Handshake(quinn::TransportErrorCode),
    #[error("closed by the peer with the code {0}")]
    Closed(VarInt),
    #[error("the connection ended")]
    Ended,
}

/// Leaves out the reason that the peer may have given: it is the peer's bytes.
impl From<ConnectionError> for DialError {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::TransportError(error) => Self::Handshake(error.code),
            ConnectionError::ConnectionClosed(close) => Self::Handshake(close.error_code),
            ConnectionError::ApplicationClosed(close) => Self::Closed(close.error_code),
            ConnectionError::TimedOut => Self::Timeout,
            _ => Self::Ended,
        }
    }
}

impl Route {
    /// A connection that the peer serves, and the stream that shows it.
    async fn dial(&self) -> Result<(Connection, RecvStream), DialError> {
        let connecting =
            self.endpoint.connect_with(self.config.clone(), self.address, SERVER_NAME)?;
        let served = async {
            let connection = connecting.await?;
            let first = connection.accept_uni().await?;
            Ok((connection, first))
        };
        timeout(HANDSHAKE_TIMEOUT, served).await.unwrap_or(Err(DialError::Timeout))
    }
}
