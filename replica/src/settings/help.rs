//! What `run --help` says of the configuration.

use std::sync::LazyLock;

use gossip_engine::{ChannelConfig, FlowConfig, FlowType};
use gossip_replica::{replica::ReplicaOptions, store::StoreOptions, transport::limits::MAX_PEERS};

use super::{RESCAN, SETTLE, chunk_size, keep_removed, numbers};

/// The words that a configuration may have, with their ranges and defaults.
pub(crate) fn help() -> &'static str {
    static HELP: LazyLock<String> = LazyLock::new(|| {
        let StoreOptions { min_free_bytes, verify_bytes_per_second, .. } = StoreOptions::default();
        let channels = ReplicaOptions::default().channels;
        let max_inflight = of_flows(&channels, FlowConfig::max_inflight_requests);
        let peer_quota = of_flows(&channels, FlowConfig::peer_quota);
        let (chunk_size, rescan, settle) = (chunk_size(), RESCAN.as_secs(), SETTLE.as_secs());
        let keep_removed = keep_removed().as_secs();
        format!(
            "\
The configuration is TOML. Relative paths are relative to its folder.

  listen = \"0.0.0.0:4100\"       host:port; with port 0 the system chooses one
  key_file = \"replica.key\"      as keygen writes it
  store = \"store\"               a folder, made if there is none

Optional:
  publish = \"outbox\"            a folder whose files are published
  export = \"inbox\"              a folder that is kept as the peers' folders are, each below its id
  chunk_size                    {} bytes [default: {chunk_size}]
  rescan_seconds                {}; how often publish is looked through [default: {rescan}]
  settle_seconds                {}; a file that changes is not published [default: {settle}]
  keep_removed_seconds          {}; what was removed or replaced is kept [default: {keep_removed}]
  min_free_bytes                {}; what the store leaves free on its disk [default: {min_free_bytes}]
  max_store_bytes               {}; the most that the store holds [default: no limit]
  verify_bytes_per_second       {}; 0 is off [default: {verify_bytes_per_second}]
  http = \"127.0.0.1:4180\"       a page that shows the replica; a port alone is on loopback [default: none]
  peers_file = \"peers.toml\"     a file of nothing but [[peers]]; its own entry is skipped
  [[peers]]                     at most {MAX_PEERS}
  key = \"64 hexadecimal digits\" the peer's node id, as keygen and id print it
  address = \"10.0.0.2:4100\"     host:port
  [flows.chunk]                 advert, request, chunk, retransmission, transport
  max_inflight                  {} messages
                                [default: {max_inflight}]
  peer_quota                    {} messages of one peer
                                [default: {peer_quota}]
  max_bytes                     {} [default: no limit]
  peer_max_bytes                {} [default: no limit]
  policy                        wait, refuse, drop_newest, drop_oldest, keep_latest
                                [default: wait]
  max_age_ms                    {} [default: no limit]

SIGHUP reads the configuration anew, and so does a change of it or of the peers_file: the peers and the
flows become what it says. SIGTERM and SIGINT end the replica; SIGUSR1 and SIGUSR2 do nothing.",
            numbers::CHUNK_SIZE,
            numbers::RESCAN_SECONDS,
            numbers::SETTLE_SECONDS,
            numbers::KEEP_REMOVED_SECONDS,
            numbers::MIN_FREE_BYTES,
            numbers::MAX_STORE_BYTES,
            numbers::VERIFY_BYTES_PER_SECOND,
            numbers::MAX_INFLIGHT,
            numbers::PEER_QUOTA,
            numbers::FLOW_BYTES,
            numbers::PEER_BYTES,
            numbers::MAX_AGE_MS,
        )
    });
    &HELP
}

/// A figure of all flows, by their names in the configuration.
fn of_flows(channels: &ChannelConfig, figure: fn(&FlowConfig) -> usize) -> String {
    let flows = FlowType::ALL.into_iter().map(|flow| {
        let name = flow.name().to_lowercase();
        format!("{name} {}", figure(&channels.flow(flow)))
    });
    flows.collect::<Vec<_>>().join(", ")
}
