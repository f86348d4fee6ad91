//! Which figures of a flow can work, and which can change while it runs.

use std::time::Duration;

use super::{ConfigError, FlowConfig, OverloadPolicy, WaitStrategy};
use crate::FlowType;

impl FlowConfig {
    /// Checks the figures against their limits, and the policies against the type of the flow: the Transport flow must
    /// not drop messages ([`ConfigError::Lossy`]).
    ///
    /// # Errors
    ///
    /// The first figure that is out of its range.
    pub fn validate(&self, flow: FlowType) -> Result<(), ConfigError> {
        self.validate_as(flow.name())?;
        match flow {
            FlowType::Transport => self.validate_lossless(flow.name()),
            _ => Ok(()),
        }
    }

    /// Checks the policies of a flow in which the replica hears who has come, who has gone and what was dropped.
    pub(crate) fn validate_lossless(&self, flow: &'static str) -> Result<(), ConfigError> {
        let is_lossy = self.max_age.is_some()
            || matches!(
                self.overload,
                OverloadPolicy::DropNewest
                    | OverloadPolicy::DropOldest
                    | OverloadPolicy::KeepLatest
            );
        if is_lossy { Err(ConfigError::Lossy { flow }) } else { Ok(()) }
    }

    /// Checks the figures against their limits, by the name that the error calls the flow by.
    pub(crate) fn validate_as(&self, flow: &'static str) -> Result<(), ConfigError> {
        let window = match self.wait_strategy {
            WaitStrategy::Adaptive(window) => window,
            WaitStrategy::Park | WaitStrategy::Spin => Duration::ZERO,
        };
        match *self {
            Self { threads: 0, .. } => Err(ConfigError::NoThreads { flow }),
            Self { threads, .. } if threads > FlowConfig::MAX_THREADS_PER_FLOW => {
                Err(ConfigError::TooManyThreads { flow, threads })
            }
            Self { max_inflight_requests: limit, .. }
                if limit > FlowConfig::MAX_INFLIGHT_REQUESTS =>
            {
                Err(ConfigError::TooManyInflight { flow, limit })
            }
            Self { max_waiters: waiters, .. } if waiters > FlowConfig::MAX_WAITERS => {
                Err(ConfigError::TooManyWaiters { flow, waiters })
            }
            Self { max_peers: peers, .. } if peers == 0 || peers > FlowConfig::MAX_PEERS => {
                Err(ConfigError::Peers { flow, peers })
            }
            Self { quantum, .. } if quantum > FlowConfig::MAX_QUANTUM => {
                Err(ConfigError::LongQuantum { flow, quantum })
            }
            _ if window > FlowConfig::MAX_SPIN_WINDOW => {
                Err(ConfigError::LongSpinWindow { flow, window })
            }
            _ => self.validate_policies(flow),
        }
    }

    fn validate_policies(&self, flow: &'static str) -> Result<(), ConfigError> {
        for bytes in [self.max_bytes, self.peer_max_bytes].into_iter().flatten() {
            if bytes == 0 || bytes > FlowConfig::MAX_BYTES {
                return Err(ConfigError::Bytes { flow, bytes });
            }
        }
        if let Some(age) = self.max_age
            && (age.is_zero() || age > FlowConfig::MAX_AGE)
        {
            return Err(ConfigError::Age { flow, age });
        }
        Ok(())
    }

    /// Checks that a flow that was built with this configuration can be given another while it runs.
    pub(crate) fn validate_change(&self, to: &Self, flow: &'static str) -> Result<(), ConfigError> {
        to.validate_as(flow)?;
        let fixed = [
            ("max_peers", self.max_peers != to.max_peers),
            ("max_waiters", self.max_waiters != to.max_waiters),
            ("peer_threads", self.peer_threads() != to.peer_threads()),
            ("core_affinity", self.core_affinity != to.core_affinity),
            ("threads", self.threads != to.threads),
            ("forking_handlers", self.forking_handlers != to.forking_handlers),
        ];
        match fixed.into_iter().find(|(_, changed)| *changed) {
            Some((what, _)) => Err(ConfigError::Fixed { flow, what }),
            None => Ok(()),
        }
    }
}
