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
    limits::{MAX_UNANSWERED, MAX_UNANSWERED_BYTES, Windows, quic},
};
use crate::tls::{AllowedKeys, Credentials, Refused};

/// What both kinds of connections have in common. A connection keeps the settings that it was made under.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) idle_timeout: Duration,
    pub(super) windows: Windows,
    /// The protocols spoken, the newest first.
    pub(super) protocols: &'static [&'static [u8]],
}

/// Listens, and lets nobody in yet; connections that arrive wait until somebody accepts them.
pub(super) fn bind(
    credentials: &Credentials,
    address: SocketAddr,
    settings: &Settings,
) -> Result<(Endpoint, SocketAddr), BindError> {
    let config = server_config(credentials, settings);
    let listen_error = |source| BindError::Listen { address, source };
    let socket = socket(address).map_err(listen_error)?;
    let local_address = socket.local_addr().map_err(listen_error)?;
    let runtime = Arc::new(TokioRuntime);
    let endpoint = Endpoint::new(EndpointConfig::default(), Some(config), socket, runtime)
        .map_err(listen_error)?;
    Ok((endpoint, local_address))
}

/// The same on a socket of the tests' own.
#[cfg(test)]
pub(super) fn on(
    credentials: &Credentials,
    socket: Arc<dyn quinn::AsyncUdpSocket>,
    settings: &Settings,
) -> (Endpoint, SocketAddr) {
    let config = server_config(credentials, settings);
    let address = socket.local_addr().expect("the socket has an address");
    let defaults = EndpointConfig::default();
    let runtime = Arc::new(TokioRuntime);
    let endpoint = Endpoint::new_with_abstract_socket(defaults, Some(config), socket, runtime)
        .expect("the socket is sound");
    (endpoint, address)
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
pub(super) fn server_config(credentials: &Credentials, settings: &Settings) -> ServerConfig {
    let nobody = Arc::default();
    let tls = credentials.server_config(nobody, Refused::default(), settings.protocols);
    let tls = QuicServerConfig::try_from(tls).expect("ring has QUIC's first cipher suite");
    let mut config = ServerConfig::with_crypto(Arc::new(tls));
    config
        .transport_config(quic(settings.idle_timeout, settings.windows))
        // A replica stays where its peers know it to be.
        .migration(false)
        .max_incoming(MAX_UNANSWERED)
        .incoming_buffer_size(MAX_UNANSWERED_BYTES / MAX_UNANSWERED as u64)
        .incoming_buffer_size_total(MAX_UNANSWERED_BYTES);
    config
}

/// Answers one connection under the settings of now, if it holds one of the keys; says in `refused` which one it
/// shows otherwise.
pub(super) fn answer(
    base: &ServerConfig,
    credentials: &Credentials,
    settings: &Settings,
    allowed: Arc<AllowedKeys>,
    refused: Refused,
) -> Arc<ServerConfig> {
    let tls = credentials.server_config(allowed, refused, settings.protocols);
    let tls = QuicServerConfig::try_from(tls).expect("ring has QUIC's first cipher suite");
    let mut config = base.clone();
    config.crypto = Arc::new(tls);
    config.transport_config(quic(settings.idle_timeout, settings.windows));
    Arc::new(config)
}

/// Dials the holder of a key; says in `refused` which one it shows otherwise.
pub(super) fn client_config(
    credentials: &Credentials,
    peer: NodeId,
    refused: Refused,
    settings: &Settings,
) -> ClientConfig {
    let tls = credentials.client_config(peer, refused, settings.protocols);
    let tls = QuicClientConfig::try_from(tls).expect("ring has QUIC's first cipher suite");
    let mut config = ClientConfig::new(Arc::new(tls));
    config.transport_config(quic(settings.idle_timeout, settings.windows));
    config
}
