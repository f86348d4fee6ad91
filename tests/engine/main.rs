//! The engine through its public API.
#![cfg(not(any(loom, shuttle)))]
#![expect(clippy::disallowed_types, reason = "tests lock what they please")]

mod advert_broadcaster;
mod common;
mod connections;
mod corpus;
mod event_handler;
mod faults;
mod panics;
mod peers;
mod shutdown;
mod timer;
