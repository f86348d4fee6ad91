//! The UDP socket with QUIC on it, and QUIC's settings for those who dial and those who answer.

use std::{collections::HashSet, net::SocketAddr, net::UdpSocket, sync::Arc, time::Duration};

use gossip_engine::NodeId;
use quinn::{
    ClientConfig, Endpoint, EndpointConfig, ServerConfig, TokioRuntime,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};

use super::{
    BindError,
    limits::{MAX_HANDSHAKES, MAX_UNANSWERED_BYTES, quic},
};
use crate::{
    identity::Identity,
    tls::{self, TlsError},
};

/// Listens, and lets nobody in yet; connections that arrive wait until somebody accepts them.
pub(super) fn bind(
    identity: &Identity,
    address: SocketAddr,
    idle_timeout: Duration,
) -> Result<(Endpoint, SocketAddr), BindError> {
    let config = server_config(identity, HashSet::new(), idle_timeout)?;
    let listen_error = |source| BindError::Listen { address, source };
    let socket = UdpSocket::bind(address).map_err(listen_error)?;
    let local_address = socket.local_addr().map_err(listen_error)?;
    let runtime = Arc::new(TokioRuntime);
    let endpoint = Endpoint::new(EndpointConfig::default(), Some(config), socket, runtime)
        .map_err(listen_error)?;
    Ok((endpoint, local_address))
}

/// Answers those who hold one of the keys.
pub(super) fn server_config(
    identity: &Identity,
    allowed: HashSet<NodeId>,
    idle_timeout: Duration,
) -> Result<ServerConfig, TlsError> {
    let tls = QuicServerConfig::try_from(tls::server_config(identity, allowed)?)
        .expect("ring has QUIC's first cipher suite");
    let mut config = ServerConfig::with_crypto(Arc::new(tls));
    config
        .transport_config(quic(idle_timeout))
        // A replica stays where its peers know it to be.
        .migration(false)
        .max_incoming(MAX_HANDSHAKES)
        .incoming_buffer_size(MAX_UNANSWERED_BYTES / MAX_HANDSHAKES as u64)
        .incoming_buffer_size_total(MAX_UNANSWERED_BYTES);
    Ok(config)
}

/// Dials the holder of a key.
pub(super) fn client_config(
    identity: &Identity,
    peer: NodeId,
    idle_timeout: Duration,
) -> Result<ClientConfig, TlsError> {
    let tls = QuicClientConfig::try_from(tls::client_config(identity, peer)?)
        .expect("ring has QUIC's first cipher suite");
    let mut config = ClientConfig::new(Arc::new(tls));
    config.transport_config(quic(idle_timeout));
    Ok(config)
}
