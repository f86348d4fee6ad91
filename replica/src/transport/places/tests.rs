//! Unproven connections of every kind in masses, and a known address that gets its place all the same.

use std::{net::SocketAddr, sync::Arc};

use gossip_engine::NodeId;

use super::{Entry, Place, Places};
use crate::transport::limits::{KNOWN_HANDSHAKES, MAX_STRANGER_HANDSHAKES, STRANGER_HANDSHAKES};

const PEER: NodeId = NodeId::new([1; 32]);

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn enter(places: &Arc<Places>, from: &str, shown: bool) -> Result<Place, &'static str> {
    match places.enter(address(from), shown) {
        Entry::Enter(place) => Ok(place),
        Entry::ShowAddress => Err("show"),
        Entry::Full => Err("full"),
    }
}

#[test]
fn a_stranger_shows_its_address_and_has_few_places() {
    let places = Arc::new(Places::default());
    for network in [["10.0.0.1:1", "10.0.0.1:2"], ["[2001:db8::1]:1", "[2001:db8::2]:1"]] {
        assert_eq!(enter(&places, network[0], false).unwrap_err(), "show");
        let mut held = Vec::new();
        for place in 0..STRANGER_HANDSHAKES {
            held.push(enter(&places, network[place % 2], true).unwrap());
        }
        assert_eq!(enter(&places, network[1], true).unwrap_err(), "full");
        held.pop();
        held.push(enter(&places, network[1], true).unwrap());
    }
    assert!(places.lock().taken.is_empty(), "nothing is kept of those who have gone");
}

#[test]
fn no_crowd_takes_a_known_ones_place() {
    let places = Arc::new(Places::default());
    places.know(PEER, &[address("10.9.9.9:4100")]);
    let mut crowd: Vec<Place> = (0..MAX_STRANGER_HANDSHAKES)
        .map(|number| enter(&places, &format!("10.0.1.{number}:1"), true).unwrap())
        .collect();
    assert_eq!(enter(&places, "10.0.2.1:1", true).unwrap_err(), "full");
    // Its neighbours are strangers.
    assert_eq!(enter(&places, "10.9.9.9:4101", true).unwrap_err(), "full");
    crowd.push(enter(&places, "10.9.9.9:4100", false).unwrap());
    // Who only pretends to be there gets no further than this.
    assert_eq!(enter(&places, "10.9.9.9:4100", false).unwrap_err(), "show");
    for _ in 1..KNOWN_HANDSHAKES {
        // As a socket of both families shows it.
        crowd.push(enter(&places, "[::ffff:10.9.9.9]:4100", true).unwrap());
    }
    assert_eq!(enter(&places, "10.9.9.9:4100", true).unwrap_err(), "full");
    drop(crowd);
    places.forget(PEER);
    assert_eq!(enter(&places, "10.9.9.9:4100", false).unwrap_err(), "show");
    assert!(places.lock().known.is_empty());
}

#[test]
fn an_address_is_known_while_one_peer_is_to_be_found_there() {
    let places = Arc::new(Places::default());
    let shared = address("10.9.9.9:4100");
    let other = NodeId::new([2; 32]);
    places.know(PEER, &[shared]);
    places.know(other, &[shared, address("[2001:db8::1]:4100")]);
    places.know(PEER, &[address("10.9.9.8:4100")]);
    assert!(enter(&places, "10.9.9.9:4100", false).is_ok());
    places.forget(other);
    assert_eq!(enter(&places, "10.9.9.9:4100", false).unwrap_err(), "show");
    assert!(enter(&places, "10.9.9.8:4100", false).is_ok());
}
