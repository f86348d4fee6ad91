//! The reference replica of [`gossip_engine`]: keeps folders equal over QUIC.
//!
//! An artifact is a file, named by the SHA-256 of its content. A replica publishes the files of a folder, announces
//! them to its peers, and fetches from these what it does not hold, each artifact in chunks from several peers. It
//! talks to the peers on its list and to nobody else, and believes none of them: what is held was verified.
//!
//! ```text
//! a folder ── publish ──> gossip ─────────── outbox ───────────> transport <── QUIC ──> peers
//!                         │    ^                                     │
//!                         v    └── callbacks ── gossip_engine <──────┘ frames
//!                       store                   (flows, threads, bounds)
//!
//! http (a page, /metrics, /health) looks at all of these, and nothing waits for it
//! ```
//!
//! Begin with [`replica`], which puts the parts together and starts and ends them. Then, by what is of interest:
//!
//! | module | what it is |
//! |---|---|
//! | [`gossip`] | the protocol: a state machine without a clock or a network of its own, behind one lock |
//! | [`transport`] | authenticated connections, their queues, windows, penalties; [`transport::limits`] bounds them |
//! | [`store`] | the folder of artifacts: import, partial files, space, verification, repair |
//! | [`publish`] | which files of a folder are published |
//! | [`catalog`] | the signed list of the files in a publisher's folder, by path |
//! | [`export`] | a publisher's files, written out into a folder |
//! | [`names`] | what publishers and peers are called |
//! | [`identity`], [`tls`] | the key of a replica, and how it is proven |
//! | [`http`] | the port to look at |
//! | [`outbox`] | what the protocol asks of a transport |
//! | `simulation` | with the feature of that name: many replicas in virtual time |
//!
//! The program `gossip-replica` is this library with a command line, a configuration and signals.

pub mod blocking;
pub mod catalog;
pub mod changes;
// The program's, for its fuzz target.
#[cfg(fuzzing)]
extern crate self as gossip_replica;

pub mod export;
#[cfg(fuzzing)]
#[path = "fuzzing/failure.rs"]
mod failure;
pub mod file_version;
mod folders;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod gossip;
pub mod http;
pub mod identity;
pub mod names;
pub mod outbox;
pub mod publish;
mod replace_file;
pub mod replica;
#[cfg(fuzzing)]
#[expect(dead_code, unused_imports, reason = "the program uses the rest")]
mod settings;
#[cfg(any(test, feature = "simulation"))]
pub mod simulation;
pub mod store;
pub mod tls;
pub mod transport;
pub mod words;
