//! The UDP socket with QUIC on it, and QUIC's settings for those who dial and those who answer.

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use gossip_engine::NodeId;
use quinn::{
    ClientConfig, Endpoint, EndpointConfig, ServerConfig, TokioRuntime,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use socket2::{Domain, Protocol, Socket, Type};

use super::{
    BindError,
    limits::{MAX_UNANSWERED, MAX_UNANSWERED_BYTES, quic},
};
use crate::tls::{AllowedKeys, Credentials, Refused};

/// Listens, and lets nobody in yet; connections that arrive wait until somebody accepts them.
pub(super) fn bind(
    credentials: &Credentials,
    address: SocketAddr,
    idle_timeout: Duration,
) -> Result<(Endpoint, SocketAddr), BindError> {
    let config = server_config(credentials, idle_timeout);
    let listen_error = |source| BindError::Listen { address, source };
    let socket = socket(address).map_err(listen_error)?;
    let local_address = socket.local_addr().map_err(listen_error)?;
    let runtime = Arc::new(TokioRuntime);
    let endpoint = Endpoint::new(EndpointConfig::default(), Some(config), socket, runtime)
        .map_err(listen_error)?;
    Ok((endpoint, local_address))
}

/// `[::]` takes IPv4 too, whatever the system's default is.
fn socket(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Answers nobody: each connection is answered under [`answer`]'s settings.
pub(super) fn server_config(credentials: &Credentials, idle_timeout: Duration) -> ServerConfig {
    let tls = credentials.server_config(Arc::default(), Refused::default());
    let tls = QuicServerConfig::try_from(tls).expect("ring has QUIC's first cipher suite");
    let mut config = ServerConfig::with_crypto(Arc::new(tls));
    config
        .transport_config(quic(idle_timeout))
        // A replica stays where its peers know it to be.
        .migration(false)
        .max_incoming(MAX_UNANSWERED)
        .incoming_buffer_size(MAX_UNANSWERED_BYTES / MAX_UNANSWERED as u64)
        .incoming_buffer_size_total(MAX_UNANSWERED_BYTES);
    config
}

/// Answers one connection, if it holds one of the keys; says in `refused` which one it shows otherwise.
pub(super) fn answer(
    base: &ServerConfig,
    credentials: &Credentials,
    allowed: Arc<AllowedKeys>,
    refused: Refused,
) -> Arc<ServerConfig> {
    let tls = credentials.server_config(allowed, refused);
    let tls = QuicServerConfig::try_from(tls).expect("ring has QUIC's first cipher suite");
    let mut config = base.clone();
    config.crypto = Arc::new(tls);
    Arc::new(config)
}

/// Dials the holder of a key; says in `refused` which one it shows otherwise.
pub(super) fn client_config(
    credentials: &Credentials,
    peer: NodeId,
    refused: Refused,
    idle_timeout: Duration,
) -> ClientConfig {
    let tls = QuicClientConfig::try_from(credentials.client_config(peer, refused))
        .expect("ring has QUIC's first cipher suite");
    let mut config = ClientConfig::new(Arc::new(tls));
    config.transport_config(quic(idle_timeout));
    config
}
