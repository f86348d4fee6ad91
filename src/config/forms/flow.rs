//! One flow's configuration for serde.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{
    config::{ConfigError, Departure, FlowConfig, OverloadPolicy, PanicPolicy, WaitStrategy},
    human::{Figure, Size, Time},
};

/// What errors call a flow whose name the configuration does not say, as in "this flow: no threads".
const UNNAMED: &str = "this";

/// A peer's share of a flow.
#[derive(Clone, Copy, Debug)]
enum Quota {
    /// A quarter of the flow's limit, at most 1 024.
    Quarter,
    Messages(usize),
}

impl Serialize for Quota {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Quarter => serializer.serialize_str("quarter"),
            Self::Messages(messages) => messages.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Quota {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Figure {
            expected: "a number of messages, or \"quarter\" for a quarter of the flow's limit",
            number: |messages| usize::try_from(messages).ok().map(Self::Messages),
            text: |text| (text == "quarter").then_some(Self::Quarter),
        }
        .read(deserializer)
    }
}

/// A [`FlowConfig`], or what is said of one: none are the figures that have their defaults.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, expecting = "limits and policies of a flow", rename = "FlowConfig")]
pub(in crate::config) struct FlowForm {
    max_inflight_requests: Option<usize>,
    peer_quota: Option<Quota>,
    max_peers: Option<usize>,
    max_waiters: Option<usize>,
    threads: Option<usize>,
    peer_threads: Option<usize>,
    quantum: Option<Time>,
    wait_strategy: Option<WaitForm>,
    forking_handlers: Option<bool>,
    max_bytes: Option<Size>,
    peer_max_bytes: Option<Size>,
    overload_policy: Option<OverloadPolicy>,
    max_age: Option<Time>,
    departure: Option<Departure>,
    panic_policy: Option<PanicPolicy>,
    #[cfg(feature = "pinning")]
    core_affinity: Option<usize>,
}

impl From<FlowConfig> for FlowForm {
    fn from(config: FlowConfig) -> Self {
        let FlowConfig {
            max_inflight_requests,
            peer_quota,
            max_peers,
            max_waiters,
            threads,
            peer_threads,
            quantum,
            wait_strategy,
            forking_handlers,
            max_bytes,
            peer_max_bytes,
            overload,
            max_age,
            departure,
            panics,
            core_affinity,
        } = config;
        #[cfg(not(feature = "pinning"))]
        let _ = core_affinity;
        Self {
            max_inflight_requests: Some(max_inflight_requests),
            peer_quota: Some(peer_quota.map_or(Quota::Quarter, Quota::Messages)),
            max_peers: Some(max_peers),
            max_waiters: Some(max_waiters),
            threads: Some(threads),
            peer_threads: Some(peer_threads),
            quantum: Some(Time(quantum)),
            wait_strategy: Some(wait_strategy.into()),
            forking_handlers: Some(forking_handlers),
            max_bytes: max_bytes.map(Size),
            peer_max_bytes: peer_max_bytes.map(Size),
            overload_policy: Some(overload),
            max_age: max_age.map(Time),
            departure: Some(departure),
            panic_policy: Some(panics),
            #[cfg(feature = "pinning")]
            core_affinity,
        }
    }
}

impl FlowForm {
    /// `default`, but for what is said here.
    pub(super) fn apply(self, default: FlowConfig) -> FlowConfig {
        FlowConfig {
            max_inflight_requests: self
                .max_inflight_requests
                .unwrap_or(default.max_inflight_requests),
            peer_quota: match self.peer_quota {
                Some(Quota::Messages(messages)) => Some(messages),
                Some(Quota::Quarter) => None,
                None => default.peer_quota,
            },
            max_peers: self.max_peers.unwrap_or(default.max_peers),
            max_waiters: self.max_waiters.unwrap_or(default.max_waiters),
            threads: self.threads.unwrap_or(default.threads),
            peer_threads: self.peer_threads.unwrap_or(default.peer_threads),
            quantum: self.quantum.map_or(default.quantum, |time| time.0),
            wait_strategy: self.wait_strategy.map_or(default.wait_strategy, WaitForm::strategy),
            forking_handlers: self.forking_handlers.unwrap_or(default.forking_handlers),
            max_bytes: self.max_bytes.map(|size| size.0).or(default.max_bytes),
            peer_max_bytes: self.peer_max_bytes.map(|size| size.0).or(default.peer_max_bytes),
            overload: self.overload_policy.unwrap_or(default.overload),
            max_age: self.max_age.map(|time| time.0).or(default.max_age),
            departure: self.departure.unwrap_or(default.departure),
            panics: self.panic_policy.unwrap_or(default.panics),
            #[cfg(feature = "pinning")]
            core_affinity: self.core_affinity.or(default.core_affinity),
            #[cfg(not(feature = "pinning"))]
            core_affinity: default.core_affinity,
        }
    }
}

/// One that stands alone must say its bound, as [`FlowConfig::new`] does. Needs the feature `serde`.
impl<'de> Deserialize<'de> for FlowConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let form = FlowForm::deserialize(deserializer)?;
        let Some(limit) = form.max_inflight_requests else {
            return Err(D::Error::missing_field("max_inflight_requests"));
        };
        let config = form.apply(Self::new(limit));
        config.validate_as(UNNAMED).map_err(D::Error::custom)?;
        Ok(config)
    }
}

/// A [`WaitStrategy`], of a flow whose other figures may not be there yet.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename = "WaitStrategy", rename_all = "snake_case")]
pub(in crate::config) enum WaitForm {
    Adaptive(Time),
    Park,
    Spin,
}

impl WaitForm {
    fn strategy(self) -> WaitStrategy {
        match self {
            Self::Adaptive(window) => WaitStrategy::Adaptive(window.0),
            Self::Park => WaitStrategy::Park,
            Self::Spin => WaitStrategy::Spin,
        }
    }
}

impl From<WaitStrategy> for WaitForm {
    fn from(strategy: WaitStrategy) -> Self {
        match strategy {
            WaitStrategy::Adaptive(window) => Self::Adaptive(Time(window)),
            WaitStrategy::Park => Self::Park,
            WaitStrategy::Spin => Self::Spin,
        }
    }
}

impl TryFrom<WaitForm> for WaitStrategy {
    type Error = ConfigError;

    fn try_from(form: WaitForm) -> Result<Self, ConfigError> {
        let strategy = form.strategy();
        FlowConfig::new(1).with_wait_strategy(strategy).validate_as(UNNAMED)?;
        Ok(strategy)
    }
}
