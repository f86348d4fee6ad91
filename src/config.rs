//! The limits, threads and policies of each flow.
//!
//! Everything that the engine holds is bounded by these figures, and each setter of a bound says how
//! many bytes the worst case costs. [`ChannelConfig::validate`] refuses what cannot work before anything is
//! built.

use std::time::Duration;

use strum::{EnumCount, IntoEnumIterator};

use crate::FlowType;

mod flow;
#[cfg(feature = "serde")]
mod forms;
mod policy;
mod validate;
mod wait;

pub use flow::FlowConfig;
pub use policy::{Departure, OverloadPolicy, PanicPolicy, Quarantine};
pub use wait::WaitStrategy;

/// Threads per flow unless configured otherwise: one handler that waits leaves two to go on. The name is that of the
/// Internet Computer's P2P event handler.
pub const P2P_PER_FLOW_THREADS: usize = 3;
/// How many submitters of one peer may wait for capacity in a flow unless configured otherwise: more
/// than a transport has streams of one flow to one peer.
const DEFAULT_WAITERS: usize = 64;
/// How many peers a flow keeps lanes for unless configured otherwise.
pub const DEFAULT_PEERS: usize = 1 << 12;
/// The largest quota of a peer unless configured otherwise.
const DEFAULT_QUOTA: usize = 1 << 10;
/// The turn of a lane unless configured otherwise: long beside the cost of going on to the next lane, which is about
/// 0.2 µs, short beside a handler that does something.
const DEFAULT_QUANTUM: Duration = Duration::from_micros(10);
/// The longest time for which a worker looks for work before it sleeps, unless configured otherwise. It looks
/// [adaptively](WaitStrategy::Adaptive). The time is some ten times what it costs to put a thread to sleep and to wake
/// it up. Linux's KVM has the same limit for the same purpose on x86 (`halt_poll_ns`).
const DEFAULT_SPIN_WINDOW: Duration = Duration::from_micros(200);

/// The most peers whose panics a handler remembers: several times the number that is likely to be connected. The table
/// is copied at each panic. With so many peers it takes some hundred kilobytes.
pub const MAX_PANIC_TABLE: usize = 1 << 10;
/// The shortest time between two notices of messages dropped for one peer and flow, unless configured otherwise: one
/// tick of the timer.
pub(crate) const DEFAULT_DROP_NOTICE_INTERVAL: Duration = Duration::from_millis(100);
/// How long a handler runs before it is reported as stuck, unless configured otherwise.
pub(crate) const DEFAULT_STUCK_HANDLER_TIMEOUT: Duration = Duration::from_secs(10);

/// A peer comes and goes; more than this of one peer only queue for nothing.
const TRANSPORT_QUOTA: usize = 8;

/// What a queued message costs beside its payload, in bytes, generously.
const SLOT_BYTES: usize = 256;
/// What a lane costs beside its messages, in bytes, generously.
const LANE_BYTES: usize = 1024;
/// What a submitter that waits costs beside its message's payload, in bytes, generously.
const WAITER_BYTES: usize = 1024;

/// A configuration that cannot work. Nothing has been built.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A flow without threads would never run anything.
    #[error("{flow} flow: no threads; give it 1 to {max}", max = FlowConfig::MAX_THREADS_PER_FLOW)]
    NoThreads {
        /// The flow.
        flow: &'static str,
    },
    /// More threads than [`FlowConfig::MAX_THREADS_PER_FLOW`].
    #[error("{flow} flow: {threads} threads, over the maximum of {max}", max = FlowConfig::MAX_THREADS_PER_FLOW)]
    TooManyThreads {
        /// The flow.
        flow: &'static str,
        /// What was asked for.
        threads: usize,
    },
    /// A larger limit than [`FlowConfig::MAX_INFLIGHT_REQUESTS`].
    #[error(
        "{flow} flow: {limit} messages in flight, over the maximum of {max}",
        max = FlowConfig::MAX_INFLIGHT_REQUESTS
    )]
    TooManyInflight {
        /// The flow.
        flow: &'static str,
        /// What was asked for.
        limit: usize,
    },
    /// More waiting submitters than [`FlowConfig::MAX_WAITERS`].
    #[error(
        "{flow} flow: {waiters} waiting submitters a peer, over the maximum of {max}",
        max = FlowConfig::MAX_WAITERS
    )]
    TooManyWaiters {
        /// The flow.
        flow: &'static str,
        /// What was asked for.
        waiters: usize,
    },
    /// Lanes for no peer at all, or for more than [`FlowConfig::MAX_PEERS`].
    #[error("{flow} flow: lanes for {peers} peers; give it 1 to {max}", max = FlowConfig::MAX_PEERS)]
    Peers {
        /// The flow.
        flow: &'static str,
        /// What was asked for.
        peers: usize,
    },
    /// A longer turn than [`FlowConfig::MAX_QUANTUM`].
    #[error("{flow} flow: a quantum of {quantum:?}, over the maximum of {max:?}", max = FlowConfig::MAX_QUANTUM)]
    LongQuantum {
        /// The flow.
        flow: &'static str,
        /// What was asked for.
        quantum: Duration,
    },
    /// A bound of no bytes, or of more than [`FlowConfig::MAX_BYTES`].
    #[error("{flow} flow: a bound of {bytes} bytes; give it 1 to {max}", max = FlowConfig::MAX_BYTES)]
    Bytes {
        /// The flow.
        flow: &'static str,
        /// What was asked for.
        bytes: u64,
    },
    /// Messages that expire at once, or after more than [`FlowConfig::MAX_AGE`].
    #[error(
        "{flow} flow: a maximum age of {age:?}; give it more than zero and up to {max:?}",
        max = FlowConfig::MAX_AGE
    )]
    Age {
        /// The flow.
        flow: &'static str,
        /// What was asked for.
        age: Duration,
    },
    /// A quarantine without a panic.
    #[error("quarantine after no panics; give it 1 or more")]
    NoPanics,
    /// A Transport flow that would drop what the replica is to hear: who has come, who has gone, what was dropped.
    #[error("{flow} flow: it cannot drop messages: no maximum age, policy Wait or Refuse")]
    Lossy {
        /// The flow.
        flow: &'static str,
    },
    /// A name that an engine cannot give a flow.
    #[error("flow {flow:?}: {fault}")]
    Name {
        /// The name.
        flow: &'static str,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// A change of what cannot change while the flow runs.
    #[error("{flow} flow: cannot change while it runs: {what}")]
    Fixed {
        /// The flow.
        flow: &'static str,
        /// The figure.
        what: &'static str,
    },
    /// A longer wait than [`FlowConfig::MAX_SPIN_WINDOW`].
    #[error(
        "{flow} flow: workers that look for {window:?}, over the maximum of {max:?}", max = FlowConfig::MAX_SPIN_WINDOW
    )]
    LongSpinWindow {
        /// The flow.
        flow: &'static str,
        /// What was asked for.
        window: Duration,
    },
}

/// Limits, threads and policies of all five flows.
///
/// The bounds are those of the Internet Computer's P2P event handler: 100 000 adverts, 100 requests, 100 chunks, 1 000
/// retransmissions and 1 000 transport events in flight. What differs from it:
///
/// | | Internet Computer | here | why |
/// |---|---|---|---|
/// | threads of a flow | 1 | [`P2P_PER_FLOW_THREADS`], 3 | a handler that waits leaves two to go on |
/// | order | of the flow | of each peer ([`peer_threads`](FlowConfig::with_peer_threads) 1) | peers run side by side |
/// | a peer's share | none | a quota (8 in the Transport flow), turns equal in time | no peer fills a flow |
/// | those who wait | without a bound | 64 for each peer and flow | memory is bounded |
/// | broadcast before the start | `send` blocks | adverts wait in the queue | nobody blocks |
/// | the timer's stop | up to 100 ms | at once | |
///
/// ```
/// use gossip_engine::{ChannelConfig, FlowConfig, FlowType};
///
/// let config = ChannelConfig::default()
///     .with_flow(FlowType::Chunk, FlowConfig::new(16).with_threads(2));
/// config.validate()?;
/// assert_eq!(config.flow(FlowType::Advert).max_inflight_requests(), 100_000);
///
/// let wrong = config.with_flow(FlowType::Request, FlowConfig::new(100).with_threads(0));
/// assert_eq!(
///     wrong.validate().unwrap_err().to_string(),
///     "Request flow: no threads; give it 1 to 256",
/// );
/// # Ok::<(), gossip_engine::ConfigError>(())
/// ```
#[cfg_attr(feature = "serde", doc = include_str!("config/forms.md"))]
#[derive(Clone, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(try_from = "forms::ChannelForm", into = "forms::ChannelForm"))]
pub struct ChannelConfig {
    flows: [FlowConfig; FlowType::COUNT],
    drop_notice_interval: Duration,
    stuck_handler_timeout: Duration,
    quarantine: Option<Quarantine>,
}

impl Default for ChannelConfig {
    fn default() -> Self {
        Self {
            flows: [
                FlowConfig::new(100_000),
                FlowConfig::new(100),
                FlowConfig::new(100),
                FlowConfig::new(1_000),
                FlowConfig::new(1_000).with_peer_quota(TRANSPORT_QUOTA),
            ],
            drop_notice_interval: DEFAULT_DROP_NOTICE_INTERVAL,
            stuck_handler_timeout: DEFAULT_STUCK_HANDLER_TIMEOUT,
            quarantine: None,
        }
    }
}

impl ChannelConfig {
    /// Sets the bounds and threads of one flow.
    ///
    /// The Transport flow always runs one event of a peer at a time, so that each peer comes and
    /// goes in its order. Its quota of 8 is a default of this configuration and not of
    /// [`FlowConfig::new`]: a caller that replaces the flow's configuration sets the quota, too.
    ///
    /// Worst case: that of each figure of `config`; [`worst_case_bytes`](Self::worst_case_bytes)
    /// adds them up.
    #[must_use]
    pub const fn with_flow(mut self, flow: FlowType, config: FlowConfig) -> Self {
        self.flows[flow as usize] = match flow {
            FlowType::Transport => config.with_peer_threads(1),
            _ => config,
        };
        self
    }

    /// Sets the shortest time between two calls of [`on_messages_dropped`](crate::Gossip::on_messages_dropped) for one
    /// peer and flow: any duration. Raise it to handle more drops in one call, lower it to ask sooner again.
    ///
    /// The engine looks for drops every [`WATCH_PERIOD`](crate::WATCH_PERIOD), so a shorter interval changes nothing
    /// more. With a very long one the replica is notified once.
    #[must_use]
    pub const fn with_drop_notice_interval(mut self, interval: Duration) -> Self {
        self.drop_notice_interval = interval;
        self
    }

    /// Sets how long a handler may run before it is reported as stuck: any duration. Raise it where handlers are meant
    /// to run for longer.
    ///
    /// The log names such a handler once, with the last eight turns that its thread ran before, and
    /// [`stuck`](crate::FlowSnapshot::stuck) counts it once. The engine looks for it every
    /// [`WATCH_PERIOD`](crate::WATCH_PERIOD).
    #[must_use]
    pub const fn with_stuck_handler_timeout(mut self, duration: Duration) -> Self {
        self.stuck_handler_timeout = duration;
        self
    }

    /// Sets when callbacks that panic on a peer's messages put the peer into quarantine. `None`, the default, puts no
    /// peer into it. A quarantine never refuses a `PeerUp` or a `PeerDown`.
    #[must_use]
    pub const fn with_quarantine(mut self, quarantine: Option<Quarantine>) -> Self {
        self.quarantine = quarantine;
        self
    }

    /// When peers are put into quarantine.
    #[must_use]
    pub const fn quarantine(&self) -> Option<Quarantine> {
        self.quarantine
    }

    /// How often a replica is notified that messages of one peer and flow were dropped, at most.
    #[must_use]
    pub const fn drop_notice_interval(&self) -> Duration {
        self.drop_notice_interval
    }

    /// How long a handler may run before it is reported as stuck.
    #[must_use]
    pub const fn stuck_handler_timeout(&self) -> Duration {
        self.stuck_handler_timeout
    }

    /// The bounds and threads of one flow.
    #[must_use]
    pub const fn flow(&self, flow: FlowType) -> FlowConfig {
        self.flows[flow as usize]
    }

    /// The most bytes that all flows can hold for `peers` peers with the built-in message types. It assumes that every
    /// peer sends the largest messages that [`wire`](crate::wire) lets through, and that as many of them wait as may.
    /// Stacks and histograms come on top. Needs the feature `wire`.
    ///
    /// With the defaults the flows hold at most 1.8 GiB, most of it 100 000 adverts of the largest size. Each peer adds
    /// 130 MiB, nearly all of it chunks that wait. If a transport has fewer calls pending, lower the bound by
    /// [`with_max_waiters`](FlowConfig::with_max_waiters).
    #[cfg(feature = "wire")]
    #[must_use]
    pub fn worst_case_bytes(&self, peers: usize) -> usize {
        FlowType::iter().fold(0, |sum: usize, flow| {
            let bytes =
                self.flow(flow).worst_case_bytes(peers, crate::wire::max_payload_bytes(flow));
            sum.saturating_add(bytes)
        })
    }

    /// Checks every flow's figures against their limits.
    ///
    /// # Errors
    ///
    /// The first figure that is out of its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.quarantine.is_some_and(|quarantine| quarantine.panics == 0) {
            return Err(ConfigError::NoPanics);
        }
        FlowType::iter().try_for_each(|flow| self.flow(flow).validate(flow))
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;
