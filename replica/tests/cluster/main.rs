//! Whole replicas, in one process, over QUIC on the loopback interface: artifacts get everywhere, whoever
//! dies, comes late, lies or has too much to say.
//!
//! No test depends on speed: each waits for what has to happen, and fails loudly when it does not
//! within a generous limit.

mod advert;
mod announcements;
mod content;
mod flood;
mod flooder;
mod hostile;
mod lifecycle;
#[path = "../lab/line.rs"]
#[allow(dead_code, reason = "its queue is looked at by the transport's own tests")]
mod line;
mod network;
#[path = "../lab/relay.rs"]
mod relay;
mod site;
