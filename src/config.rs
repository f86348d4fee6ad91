//! How large and how wide each flow is.
//!
//! Everything that the engine holds is bounded by these figures, and each setter says how many bytes
//! the worst case costs. [`ChannelConfig::validate`] refuses what cannot work before anything is
//! built.

use strum::{EnumCount, IntoEnumIterator};

use crate::{FlowType, wire};

/// Threads per flow unless configured otherwise. From the Internet Computer's P2P event handler.
pub const P2P_PER_FLOW_THREADS: usize = 3;
/// The largest number of messages in flight that a flow can be given. The queue for them is
/// allocated when the flow is built.
pub const MAX_INFLIGHT_REQUESTS: usize = 1 << 20;
/// The largest number of threads that a flow can be given.
pub const MAX_THREADS_PER_FLOW: usize = 256;
/// The largest number of submitters that a flow can be told to let wait.
pub const MAX_WAITERS: usize = 1 << 20;
/// How many submitters may wait for room in a flow unless configured otherwise. Generous where
/// messages are small; 65 536 waiting chunks of the largest size are 128 GiB.
pub const DEFAULT_WAITERS: usize = 1 << 16;

/// What a slot of a flow's queue costs beside its message's fields and payload, in bytes, generously.
const SLOT_BYTES: usize = 256;

/// A configuration that cannot work. Nothing has been built.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A flow without threads would never run anything.
    #[error("{flow} flow: no threads; give it 1 to {MAX_THREADS_PER_FLOW}")]
    NoThreads {
        /// The flow.
        flow: &'static str,
    },
    /// More threads than [`MAX_THREADS_PER_FLOW`].
    #[error("{flow} flow: {threads} threads, over the maximum of {MAX_THREADS_PER_FLOW}")]
    TooManyThreads {
        /// The flow.
        flow: &'static str,
        /// What was asked for.
        threads: usize,
    },
    /// A larger limit than [`MAX_INFLIGHT_REQUESTS`].
    #[error("{flow} flow: {limit} messages in flight, over the maximum of {MAX_INFLIGHT_REQUESTS}")]
    TooManyInflight {
        /// The flow.
        flow: &'static str,
        /// What was asked for.
        limit: usize,
    },
    /// More waiting submitters than [`MAX_WAITERS`].
    #[error("{flow} flow: {waiters} waiting submitters, over the maximum of {MAX_WAITERS}")]
    TooManyWaiters {
        /// The flow.
        flow: &'static str,
        /// What was asked for.
        waiters: usize,
    },
}

/// Bounds and threads of one flow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FlowConfig {
    max_inflight_requests: usize,
    threads: usize,
    max_waiters: usize,
}

impl FlowConfig {
    /// A flow with this bound, [`P2P_PER_FLOW_THREADS`] threads and [`DEFAULT_WAITERS`] waiters.
    #[must_use]
    pub const fn new(max_inflight_requests: usize) -> Self {
        Self { max_inflight_requests, threads: P2P_PER_FLOW_THREADS, max_waiters: DEFAULT_WAITERS }
    }

    /// Sets how many messages may be admitted and not yet finished: 1 to
    /// [`MAX_INFLIGHT_REQUESTS`]; 0 counts as 1.
    ///
    /// Worst case: this many times the largest message of the flow; and at once, when the flow is
    /// built, as many slots of its queue, each of the size of the message's fields and some 60 bytes,
    /// below 256 in all for the built-in messages.
    #[must_use]
    pub const fn with_max_inflight_requests(mut self, limit: usize) -> Self {
        self.max_inflight_requests = limit;
        self
    }

    /// Sets how many threads run the flow's handlers: 1 to [`MAX_THREADS_PER_FLOW`]. With one
    /// thread, handlers run in the order of admission.
    ///
    /// Worst case: this many stacks (2 MiB of address space each, touched as far as handlers go)
    /// and about 60 KiB of histograms each.
    #[must_use]
    pub const fn with_threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// Sets how many submitters may wait for room: 0 to [`MAX_WAITERS`]. One more is refused and
    /// gets its message back; with 0 nobody waits.
    ///
    /// A transport with one call pending per peer and flow needs no more of them than it has peers.
    ///
    /// Worst case: this many times the largest message of the flow, which the line holds, and about
    /// 512 bytes each for places: a submitter that gave up takes its message away at once, and its
    /// place when half the line is such.
    #[must_use]
    pub const fn with_max_waiters(mut self, waiters: usize) -> Self {
        self.max_waiters = waiters;
        self
    }

    /// How many messages may be admitted and not yet finished, at least 1.
    #[must_use]
    pub const fn max_inflight_requests(&self) -> usize {
        if self.max_inflight_requests == 0 { 1 } else { self.max_inflight_requests }
    }

    /// How many threads run the flow's handlers.
    #[must_use]
    pub const fn threads(&self) -> usize {
        self.threads
    }

    /// How many submitters may wait for room.
    #[must_use]
    pub const fn max_waiters(&self) -> usize {
        self.max_waiters
    }

    /// The most bytes that the flow's messages can hold, admitted and waiting, when none has more than
    /// `message_bytes` on the heap and 200 bytes in its fields.
    #[must_use]
    pub const fn worst_case_bytes(&self, message_bytes: usize) -> usize {
        let each = SLOT_BYTES.saturating_add(message_bytes);
        self.max_inflight_requests()
            .saturating_mul(each)
            .saturating_add(self.max_waiters.saturating_mul(each.saturating_add(SLOT_BYTES)))
    }

    /// Checks the figures against their limits.
    ///
    /// # Errors
    ///
    /// The first figure that is out of its range; `flow` is what the error calls the flow.
    pub fn validate(&self, flow: &'static str) -> Result<(), ConfigError> {
        match *self {
            Self { threads: 0, .. } => Err(ConfigError::NoThreads { flow }),
            Self { threads, .. } if threads > MAX_THREADS_PER_FLOW => {
                Err(ConfigError::TooManyThreads { flow, threads })
            }
            Self { max_inflight_requests: limit, .. } if limit > MAX_INFLIGHT_REQUESTS => {
                Err(ConfigError::TooManyInflight { flow, limit })
            }
            Self { max_waiters: waiters, .. } if waiters > MAX_WAITERS => {
                Err(ConfigError::TooManyWaiters { flow, waiters })
            }
            _ => Ok(()),
        }
    }
}

/// Bounds and threads of all five flows.
///
/// The defaults are those of the Internet Computer's P2P event handler: 100 000 adverts, 100
/// requests, 100 chunks, 1 000 retransmissions and 1 000 transport events in flight, and
/// [`P2P_PER_FLOW_THREADS`] threads each.
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
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ChannelConfig {
    flows: [FlowConfig; FlowType::COUNT],
}

impl Default for ChannelConfig {
    fn default() -> Self {
        Self {
            flows: [
                FlowConfig::new(100_000),
                FlowConfig::new(100),
                FlowConfig::new(100),
                FlowConfig::new(1_000),
                FlowConfig::new(1_000),
            ],
        }
    }
}

impl ChannelConfig {
    /// Sets the bounds and threads of one flow.
    ///
    /// The Transport flow runs one handler at a time whatever its number of threads, so that peers
    /// come and go in their order; its other threads help a handler that uses rayon.
    ///
    /// Worst case: that of each figure of `config`; [`worst_case_bytes`](Self::worst_case_bytes)
    /// adds them up.
    #[must_use]
    pub const fn with_flow(mut self, flow: FlowType, config: FlowConfig) -> Self {
        self.flows[flow as usize] = config;
        self
    }

    /// The bounds and threads of one flow.
    #[must_use]
    pub const fn flow(&self, flow: FlowType) -> FlowConfig {
        self.flows[flow as usize]
    }

    /// The most bytes that the messages of all flows can hold with the built-in message types,
    /// admitted and waiting, if every peer sends the largest messages that
    /// [`wire`] lets through. Stacks and histograms come on top.
    ///
    /// Bounded is not small: with the defaults this is 131 GiB, nearly all of it chunks that wait. A
    /// transport whose calls are fewer bounds them by
    /// [`with_max_waiters`](FlowConfig::with_max_waiters).
    #[must_use]
    pub fn worst_case_bytes(&self) -> usize {
        FlowType::iter().fold(0, |sum: usize, flow| {
            sum.saturating_add(self.flow(flow).worst_case_bytes(wire::max_payload_bytes(flow)))
        })
    }

    /// Checks every flow's figures against their limits.
    ///
    /// # Errors
    ///
    /// The first figure that is out of its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        FlowType::iter().try_for_each(|flow| self.flow(flow).validate(flow.name()))
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
