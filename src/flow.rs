//! The names of flows: the five of the event handler, and those that an engine is given.
//!
//! A flow is a class of messages with a bound, a pool of threads and counters of its own, so that a
//! burst of one class never delays another.

use std::fmt;

use strum::{Display, EnumCount, EnumIter, IntoStaticStr};

use crate::ConfigError;

/// The class of a message; each class has a bound, a pool and counters of its own.
///
/// The static string of a flow (`Advert`, `Request`, …) is its name in thread names, logs and
/// metric labels.
#[derive(
    Clone,
    Copy,
    Debug,
    Display,
    EnumCount,
    EnumIter,
    Eq,
    Hash,
    IntoStaticStr,
    Ord,
    PartialEq,
    PartialOrd,
)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum FlowType {
    /// Announcements of artifacts: small, many.
    Advert,
    /// Requests for a chunk of an artifact: small, each makes us send a large answer.
    Request,
    /// Chunks of artifacts: large.
    Chunk,
    /// Requests to be sent again the adverts that a filter lets through.
    Retransmission,
    /// Peers that come and go, in their order.
    Transport,
}

impl FlowType {
    /// All flows, in the order of their declaration.
    pub const ALL: [Self; Self::COUNT] =
        [Self::Advert, Self::Request, Self::Chunk, Self::Retransmission, Self::Transport];

    /// The name of the flow, as in thread names, logs and metric labels.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// The name of a flow: that of a [`FlowType`], or any other text that a program has for it.
///
/// It is the flow's label in metrics and its name in logs, errors and reports. Threads of a [`FlowType`] are called
/// `P2P_Advert_Thread` and so on. Those of another flow are called by the first 11 bytes of its name and their index,
/// as in `blocks-0`, since Linux shows 15 bytes of a thread's name.
///
/// A flow is given a name of 1 to 64 bytes. `Broadcast` is that of a replica's own adverts. What flows of one name
/// count in one registry is added up.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct FlowName {
    name: &'static str,
    is_flow_type: bool,
}

/// How long the name of a flow may be, in bytes.
const MAX_NAME: usize = 64;

/// How many bytes of a flow's name stand in the names of its threads: an index of three digits fits behind them.
const THREAD_NAME_BYTES: usize = 11;

impl FlowName {
    /// The adverts of the replica's own, on their way out.
    pub(crate) const BROADCAST: Self = Self { name: "Broadcast", is_flow_type: true };

    /// The name as text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.name
    }

    /// Whether a flow can have it.
    pub(crate) fn validate(self) -> Result<(), ConfigError> {
        let Self { name, .. } = self;
        let fault = if name.is_empty() || name.len() > MAX_NAME {
            "its name has no bytes, or more than 64"
        } else if name == Self::BROADCAST.name {
            "the name is that of the replica's own adverts"
        } else {
            return Ok(());
        };
        Err(ConfigError::Name { flow: name, fault })
    }

    /// What one of the flow's threads is called.
    pub(crate) fn thread(self, index: usize) -> String {
        let Self { name, is_flow_type } = self;
        if is_flow_type {
            return format!("P2P_{name}_Thread");
        }
        let end = (0..=THREAD_NAME_BYTES).rev().find(|&end| name.is_char_boundary(end));
        // A thread's name has no zero byte.
        let name = name[..end.unwrap_or(0).min(name.len())].replace('\0', "");
        format!("{name}-{index}")
    }
}

impl From<FlowType> for FlowName {
    fn from(flow: FlowType) -> Self {
        Self { name: flow.name(), is_flow_type: true }
    }
}

impl From<&'static str> for FlowName {
    fn from(name: &'static str) -> Self {
        Self { name, is_flow_type: false }
    }
}

impl fmt::Display for FlowName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
