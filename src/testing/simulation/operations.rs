//! What bytes mean: operations and configurations.

use std::{collections::VecDeque, time::Duration};

use crate::{
    ChannelConfig, Departure, FlowConfig, FlowType, NodeId, OverloadPolicy, PanicPolicy,
    Quarantine, WaitStrategy,
};

/// The flows in which messages are sent.
pub(super) const FLOWS: [FlowType; 4] =
    [FlowType::Advert, FlowType::Request, FlowType::Chunk, FlowType::Retransmission];

/// How many peers there are.
pub(super) const PEERS: u8 = 4;

/// Bytes that are used up one by one; when none is left they are all 0.
#[derive(Debug)]
pub(super) struct Source {
    bytes: VecDeque<u8>,
}

impl Source {
    pub(super) fn new(bytes: &[u8]) -> Self {
        Self { bytes: bytes.iter().copied().collect() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn byte(&mut self) -> u8 {
        self.bytes.pop_front().unwrap_or_default()
    }

    /// One of so many.
    fn one_of(&mut self, count: usize) -> usize {
        usize::from(self.byte()) % count
    }

    fn chance(&mut self, in_256: u8) -> bool {
        self.byte() < in_256
    }

    fn peer(&mut self) -> NodeId {
        NodeId::new([1 + self.byte() % PEERS; 32])
    }
}

/// What happens next.
#[derive(Debug)]
pub(super) enum Operation {
    Message {
        peer: NodeId,
        flow: FlowType,
        conduct: u8,
    },
    Malformed {
        peer: NodeId,
    },
    Unknown {
        peer: NodeId,
    },
    PeerUp(NodeId),
    /// Some workers run right after it, so that `on_peer_down` often begins in the middle of the peer's handlers.
    PeerDown {
        peer: NodeId,
        runs: usize,
    },
    /// One of the pending calls is polled, or dropped.
    Poll(usize),
    GiveUp(usize),
    /// A slot that is held is dropped.
    Finish(usize),
    /// One of the workers that were woken runs.
    Run(usize),
    Pass(Duration),
    Look,
    /// It can change only if it is valid.
    Reconfigure {
        config: Box<ChannelConfig>,
        valid: bool,
    },
    ReplaceGossip,
    Lift(NodeId),
    Weigh(NodeId, u32),
    Send {
        conduct: u8,
    },
    StartBroadcaster,
    /// On a thread of its own, or on that of the handler in whose middle it happens.
    Shutdown {
        own_thread: bool,
    },
}

/// Which operations there are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scope {
    /// Messages, their futures and the workers that run them.
    Flow,
    /// Everything.
    Lifecycle,
    /// Own adverts only.
    Broadcaster,
}

/// What a handler is built with and cannot change.
#[derive(Clone, Copy, Debug)]
pub(super) struct Built {
    /// By the order of [`FLOWS`]: each peer's messages run one at a time.
    pub(super) in_order: [bool; 4],
    pub(super) threads: usize,
    pub(super) transport_threads: usize,
    /// How many peers may have a lane.
    pub(super) lanes: usize,
}

impl Built {
    pub(super) fn next(source: &mut Source) -> Self {
        let bits = source.byte();
        Self {
            in_order: [0, 1, 2, 3].map(|flow| bits & (1 << flow) > 0),
            threads: 2 + usize::from(bits >> 5 & 1),
            transport_threads: 1 + usize::from(bits >> 6 & 1),
            // One lane less than peers, or one for each.
            lanes: usize::from(PEERS) - usize::from(bits >> 7),
        }
    }
}

impl Operation {
    pub(super) fn next(source: &mut Source, scope: Scope, built: &Built) -> Self {
        let choice = source.byte();
        match scope {
            Scope::Broadcaster => match choice % 16 {
                0..7 => Self::Send { conduct: source.byte() },
                7..14 => Self::Run(source.byte().into()),
                14 => Self::StartBroadcaster,
                _ if source.chance(16) => Self::Shutdown { own_thread: source.chance(128) },
                _ => Self::Pass(Duration::from_millis(source.byte().into())),
            },
            Scope::Lifecycle if choice < 96 => Self::of_lifecycle(source, built),
            _ => Self::of_flow(source),
        }
    }

    fn of_flow(source: &mut Source) -> Self {
        match source.byte() % 32 {
            0..12 => Self::Message {
                peer: source.peer(),
                flow: FLOWS[source.one_of(FLOWS.len())],
                conduct: source.byte(),
            },
            12 if source.chance(128) => Self::Unknown { peer: source.peer() },
            12 => Self::Malformed { peer: source.peer() },
            13..17 => Self::Poll(source.byte().into()),
            17..19 => Self::GiveUp(source.byte().into()),
            19..27 => Self::Run(source.byte().into()),
            27 => Self::Finish(source.byte().into()),
            28 => Self::Pass(Duration::from_micros(source.byte().into())),
            29 => Self::Pass(Duration::from_millis(source.byte().into())),
            30 => Self::Look,
            _ => Self::Weigh(source.peer(), source.byte().into()),
        }
    }

    fn of_lifecycle(source: &mut Source, built: &Built) -> Self {
        match source.byte() % 16 {
            0..5 => Self::PeerUp(source.peer()),
            5..10 => Self::PeerDown { peer: source.peer(), runs: source.one_of(8) },
            10..12 => {
                let valid = !source.chance(16);
                let built = Built { threads: built.threads + usize::from(!valid), ..*built };
                Self::Reconfigure { config: Box::new(config(source, &built)), valid }
            }
            12 => Self::ReplaceGossip,
            13 => Self::Lift(source.peer()),
            14 => Self::Send { conduct: source.byte() },
            _ if source.chance(4) => Self::Shutdown { own_thread: source.chance(128) },
            _ => Self::StartBroadcaster,
        }
    }
}

/// A configuration of small figures, so that every bound is reached.
pub(super) fn config(source: &mut Source, built: &Built) -> ChannelConfig {
    let flows = FLOWS.into_iter().zip(built.in_order);
    let config = flows.fold(ChannelConfig::default(), |config, (flow, in_order)| {
        let peer_threads = if in_order { 1 } else { built.threads };
        let of_flow = flow_config(source, built).with_peer_threads(peer_threads);
        config.with_flow(flow, of_flow)
    });
    let transport = FlowConfig::new(1 + source.one_of(4))
        .with_peer_quota(2)
        .with_threads(built.transport_threads)
        .with_wait_strategy(WaitStrategy::Park);
    let quarantine = source.chance(96).then(|| {
        Quarantine::after(2, Duration::from_millis(50))
            .with_term(Duration::from_millis(source.byte().into()))
    });
    config
        .with_flow(FlowType::Transport, transport)
        .with_quarantine(quarantine)
        .with_drop_notice_interval(Duration::from_millis(source.byte().into()))
        .with_stuck_handler_timeout(Duration::from_millis(source.byte().into()))
}

fn flow_config(source: &mut Source, built: &Built) -> FlowConfig {
    let bytes = |source: &mut Source| source.chance(64).then(|| 1 + u64::from(source.byte() % 32));
    let mut config = FlowConfig::new(1 + source.one_of(6))
        .with_peer_quota(1 + source.one_of(3))
        .with_max_peers(built.lanes)
        .with_max_waiters(3)
        .with_threads(built.threads)
        // Long enough for runs of several messages.
        .with_quantum(Duration::from_micros(source.byte().into()))
        .with_max_bytes(bytes(source))
        .with_peer_max_bytes(bytes(source))
        .with_overload_policy(match source.byte() % 8 {
            0..4 => OverloadPolicy::Wait,
            4 => OverloadPolicy::Refuse,
            5 => OverloadPolicy::DropNewest,
            6 => OverloadPolicy::DropOldest,
            _ => OverloadPolicy::KeepLatest,
        })
        .with_panic_policy(match source.byte() % 16 {
            0..15 => PanicPolicy::Contain,
            _ => PanicPolicy::FailFast,
        })
        .with_wait_strategy(if source.chance(64) {
            WaitStrategy::Adaptive(Duration::from_micros(20))
        } else {
            WaitStrategy::Park
        })
        .with_departure(match source.chance(96) {
            true => Departure::Drain,
            false => Departure::Cancel,
        });
    if source.chance(64) {
        config = config.with_max_age(Some(Duration::from_micros(1 + u64::from(source.byte()))));
    }
    config
}
