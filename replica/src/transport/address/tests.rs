//! Texts that are addresses and texts that are none, and what a socket reaches of a name.

use std::net::SocketAddr;

use super::{PeerAddress, ResolveError, Resolver, canonical};
use crate::transport::limits::MAX_LOOKUPS;

#[test]
fn a_host_and_a_port_are_an_address() {
    for text in ["replica-2.example:4100", "10.0.0.3:4100", "[::1]:4100", "localhost:1"] {
        assert_eq!(text.parse::<PeerAddress>().unwrap().as_str(), text);
    }
}

#[test]
fn what_nobody_can_dial_is_refused_with_the_reason() {
    for (text, reason) in [
        ("replica-2", "no port"),
        ("replica-2:", "no number"),
        ("replica-2:70000", "no number"),
        ("replica-2:0", "port 0"),
        (":4100", "no host"),
        ("::1:4100", "brackets"),
        ("a b:1", "a space"),
        ("a\u{1b}:1", "a space"),
        ("0.0.0.0:4100", "no peer can be reached"),
        ("[::]:4100", "no peer can be reached"),
        ("[::ffff:0.0.0.0]:4100", "no peer can be reached"),
        (&format!("{}:1", "a".repeat(300)), "too long"),
    ] {
        let error = text.parse::<PeerAddress>().unwrap_err().to_string();
        assert!(error.contains(reason), "{text:?}: {error}");
    }
}

#[tokio::test]
async fn only_what_the_socket_reaches_is_dialled() {
    let resolve = async |text: &str, local: &str| {
        text.parse::<PeerAddress>().unwrap().resolve(local.parse().unwrap(), &Resolver::new()).await
    };
    let v4: Vec<SocketAddr> = vec!["127.0.0.1:4100".parse().unwrap()];
    let v6: Vec<SocketAddr> = vec!["[::1]:4100".parse().unwrap()];
    assert_eq!(resolve("127.0.0.1:4100", "0.0.0.0:1").await, Ok(v4.clone()));
    assert_eq!(resolve("127.0.0.1:4100", "[::]:1").await, Ok(v4));
    assert_eq!(resolve("127.0.0.1:4100", "[::1]:1").await, Err(ResolveError::OtherFamily));
    assert_eq!(resolve("[::1]:4100", "[::]:1").await, Ok(v6));
    assert_eq!(resolve("[::1]:4100", "127.0.0.1:1").await, Err(ResolveError::OtherFamily));
    assert_eq!(resolve("no.such.invalid:4100", "[::]:1").await, Err(ResolveError::Unknown));
}

#[tokio::test(start_paused = true)]
async fn a_resolver_that_does_not_answer_takes_no_more_than_its_places() {
    let resolver = Resolver::new();
    let local = "[::]:1".parse().unwrap();
    let name: PeerAddress = "no.such.invalid:4100".parse().unwrap();
    let stuck = resolver.0.clone().acquire_many_owned(MAX_LOOKUPS as u32).await.unwrap();
    assert_eq!(name.resolve(local, &resolver).await, Err(ResolveError::Slow));
    // What needs no resolver goes on.
    let literal: PeerAddress = "127.0.0.1:4100".parse().unwrap();
    assert!(literal.resolve(local, &resolver).await.is_ok());
    drop(stuck);
    assert_eq!(name.resolve(local, &resolver).await, Err(ResolveError::Unknown));
    assert_eq!(resolver.0.available_permits(), MAX_LOOKUPS);
}

#[test]
fn a_mapped_address_is_shown_as_it_is_written() {
    let mapped: SocketAddr = "[::ffff:10.0.0.3]:4100".parse().unwrap();
    assert_eq!(canonical(mapped).to_string(), "10.0.0.3:4100");
    assert_eq!(PeerAddress::from(mapped).as_str(), "10.0.0.3:4100");
}
