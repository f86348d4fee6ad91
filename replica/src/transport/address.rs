//! Where a peer listens: a name that is resolved anew at each dial, for it may mean another machine by then.
//!
//! At most [`MAX_ADDRESSES`] of what a name stands for are kept, those that our socket reaches.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
    sync::Arc,
};

use tokio::{net::lookup_host, sync::Semaphore, time::timeout};

use super::limits::{MAX_ADDRESSES, MAX_LOOKUPS, RESOLVE_TIMEOUT};

/// The longest name that DNS has, a colon and a port.
const MAX_ADDRESS_BYTES: usize = 253 + 1 + 5;

/// Where a peer listens, as `host:port`, at most 259 bytes. The host is a name, an IPv4 address, or an IPv6 address in
/// brackets; the port is 1 to 65535.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct PeerAddress(String);

/// Why a text is no address.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0:?} is no address: {1}")]
pub struct AddressError(String, &'static str);

impl AddressError {
    /// What is wrong with it, without the text.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        self.1
    }
}

impl PeerAddress {
    /// The text, as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address itself, if nothing has to be resolved.
    pub(super) fn literal(&self) -> Option<SocketAddr> {
        self.0.parse().ok()
    }

    /// What it stands for now and a socket bound to `local` reaches, in the resolver's order.
    pub(super) async fn resolve(
        &self,
        local: SocketAddr,
        resolver: &Resolver,
    ) -> Result<Vec<SocketAddr>, ResolveError> {
        let found = match self.literal() {
            Some(address) => vec![address],
            None => resolver.look_up(self.0.clone()).await?,
        };
        let mut addresses: Vec<SocketAddr> = Vec::new();
        let mut any = false;
        for address in found.into_iter().map(canonical) {
            any = true;
            if reaches(local, address) && !addresses.contains(&address) {
                addresses.push(address);
            }
            if addresses.len() == MAX_ADDRESSES {
                break;
            }
        }
        match (any, addresses.is_empty()) {
            (false, _) => Err(ResolveError::Unknown),
            (true, true) => Err(ResolveError::OtherFamily),
            (true, false) => Ok(addresses),
        }
    }
}

impl From<SocketAddr> for PeerAddress {
    fn from(address: SocketAddr) -> Self {
        Self(canonical(address).to_string())
    }
}

impl FromStr for PeerAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let wrong =
            |reason| Err(AddressError(text.chars().take(MAX_ADDRESS_BYTES).collect(), reason));
        if text.len() > MAX_ADDRESS_BYTES {
            return wrong("it is too long");
        }
        if text.chars().any(|character| character.is_control() || character.is_whitespace()) {
            return wrong("it has a space in it");
        }
        let Some((host, port)) = text.rsplit_once(':') else {
            return wrong("it has no port; write host:port");
        };
        match port.parse::<u16>() {
            Ok(0) => return wrong("nobody listens on port 0"),
            Err(_) => return wrong("its port is no number up to 65535"),
            Ok(_) => {}
        }
        if host.is_empty() {
            return wrong("it has no host; write host:port");
        }
        // A bare IPv6 address is cut at the wrong colon.
        if host.contains([':', '[', ']']) && text.parse::<SocketAddr>().is_err() {
            return wrong("an IPv6 address stands in brackets, as [::1]:4100");
        }
        let host = text.parse().map(|address: SocketAddr| address.ip().to_canonical());
        if host.is_ok_and(|host| host.is_unspecified()) {
            return wrong("no peer can be reached there");
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The system's resolver, asked for at most [`MAX_LOOKUPS`] names at a time.
#[derive(Clone, Debug)]
pub(super) struct Resolver(Arc<Semaphore>);

impl Resolver {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(MAX_LOOKUPS)))
    }

    async fn look_up(&self, name: String) -> Result<Vec<SocketAddr>, ResolveError> {
        let places = self.0.clone();
        let answer = async {
            let place = places.acquire_owned().await.map_err(|_| ResolveError::Slow)?;
            // A task of its own: dropped or too late, it keeps its place until the system answers.
            let task = tokio::spawn(async move {
                let found = lookup_host(name).await.map(Iterator::collect);
                drop(place);
                found
            });
            // The system's own words for it differ, and some change at each look-up.
            task.await.ok().and_then(Result::ok).ok_or(ResolveError::Unknown)
        };
        timeout(RESOLVE_TIMEOUT, answer).await.unwrap_or(Err(ResolveError::Slow))
    }
}

/// Why a name stands for no address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum ResolveError {
    Unknown,
    Slow,
    OtherFamily,
}

/// An IPv4 address that a socket of both families shows as an IPv6 one, as people write it.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, address.port()),
        // As it is: a link-local one means nothing without its interface.
        IpAddr::V6(_) => address,
    }
}

/// Whether a socket bound to `local` can send to `address`.
fn reaches(local: SocketAddr, address: SocketAddr) -> bool {
    match (local.ip(), address.ip()) {
        (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)) => true,
        // `[::]` takes both families.
        (IpAddr::V6(local), IpAddr::V4(_)) => local.is_unspecified(),
        (IpAddr::V4(_), IpAddr::V6(_)) => false,
    }
}

#[cfg(test)]
mod tests;
