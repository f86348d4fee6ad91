//! The program as its users have it: what it prints, what it answers, and how it ends.
//!
//! No test depends on speed: each waits for what has to happen, and fails loudly when it does not
//! within a generous limit.

#[cfg(target_os = "linux")]
mod adversity;
#[cfg(target_os = "linux")]
mod browse;
#[cfg(target_os = "linux")]
#[path = "../lab/cluster.rs"]
mod cluster;
#[cfg(target_os = "linux")]
mod damage;
#[cfg(unix)]
mod dashboards;
mod demo;
#[cfg(target_os = "linux")]
mod five;
#[cfg(unix)]
mod folders;
mod generate;
mod init;
#[path = "../lab/line.rs"]
#[allow(dead_code, reason = "only cuts are needed here")]
mod line;
#[cfg(target_os = "linux")]
mod log;
#[cfg(target_os = "linux")]
#[path = "../lab/namespaces.rs"]
#[allow(dead_code, reason = "no line is bad here")]
mod namespaces;
#[cfg(target_os = "linux")]
mod networks;
mod node;
#[cfg(unix)]
mod outbox;
mod page;
mod program;
mod refusals;
#[cfg(target_os = "linux")]
#[path = "../lab/relay.rs"]
mod relay;
#[cfg(unix)]
mod reload;
mod run;
#[cfg(target_os = "linux")]
mod service;
#[cfg(target_os = "linux")]
mod top;
