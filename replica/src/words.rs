//! Words for people that depend on a number.

/// So many of something: `1 peer`, `2 peers`.
///
/// ```
/// assert_eq!(gossip_replica::words::counted(1, "peer"), "1 peer");
/// assert_eq!(gossip_replica::words::counted(0, "peer"), "0 peers");
/// ```
#[must_use]
pub fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
