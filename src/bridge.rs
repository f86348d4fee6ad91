//! Bridges to the crates that programs use for monitoring: a module for each, behind a feature of the crate's name.
//!
//! All of them write what [`families`](crate::MetricsSnapshot::families) lists, so a metric that is added there is in
//! all of them. None keeps anything between two scrapes.

#[cfg(feature = "metrics")]
mod metrics;
#[cfg(feature = "prometheus")]
mod prometheus;
#[cfg(feature = "prometheus-client")]
mod prometheus_client;

// They are compared with each other, so that all have to be there.
#[cfg(all(
    test,
    feature = "metrics",
    feature = "prometheus",
    feature = "prometheus-client",
    not(any(loom, shuttle))
))]
mod tests;
