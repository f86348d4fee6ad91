//! Where the port to look at listens: loopback, unless an address says otherwise.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    str::FromStr,
};

/// An address to listen on: `127.0.0.1:4180`, `[::1]:4180`, `localhost:4180`, or a port alone, which is on
/// loopback. Port 0 lets the operating system choose.
///
/// ```
/// use gossip_replica::http::HttpAddress;
///
/// assert_eq!("4180".parse::<HttpAddress>()?.to_string(), "127.0.0.1:4180");
/// assert!("0.0.0.0:4180".parse::<HttpAddress>()?.is_open());
/// # Ok::<(), gossip_replica::http::AddressError>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HttpAddress(SocketAddr);

/// What is no address to listen on.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0:?} is neither an address with a port, as 127.0.0.1:4180, nor a port")]
pub struct AddressError(String);

impl HttpAddress {
    /// Whether others than programs of this machine may reach it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.0.ip().is_loopback()
    }

    /// As the system takes it.
    #[must_use]
    pub fn socket(&self) -> SocketAddr {
        self.0
    }
}

impl From<SocketAddr> for HttpAddress {
    fn from(address: SocketAddr) -> Self {
        Self(address)
    }
}

impl FromStr for HttpAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let port = text.strip_prefix("localhost:").unwrap_or(text);
        let loopback = port.parse().map(|port| (IpAddr::from(Ipv4Addr::LOCALHOST), port).into());
        loopback.or_else(|_| text.parse()).map(Self).map_err(|_| AddressError(text.to_owned()))
    }
}

impl fmt::Display for HttpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
