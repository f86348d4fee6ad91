//! The transport over real QUIC on the loopback interface.
//!
//! No test depends on speed: each waits for what has to happen, and fails loudly when it does not
//! within a generous limit.

// Only Linux has all of 127.0.0.0/8.
#[cfg(target_os = "linux")]
mod hostile;
mod lifecycle;
mod meeting;
mod membership;
mod messages;
mod notices;
mod panics;
mod recorder;
mod replica;
mod strangers;
