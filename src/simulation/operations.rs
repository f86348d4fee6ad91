//! What bytes mean: operations and configurations.

use std::{collections::VecDeque, time::Duration};

use crate::{
    ChannelConfig, Codel, FlowConfig, FlowType, NodeId, Order, OverloadPolicy, PanicPolicy,
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
    PeerUp(NodeId),
    PeerDown(NodeId),
    /// One of the pending calls is polled, or dropped.
    Poll(usize),
    Forsake(usize),
    /// One of the jobs that wait runs.
    Run(usize),
    Pass(Duration),
    Look,
    FailOffers(bool),
    Reconfigure(Box<ChannelConfig>),
    ReplaceGossip,
    Lift(NodeId),
    Send {
        conduct: u8,
    },
    StartBroadcaster,
    Shutdown,
}

/// Which operations there are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scope {
    /// Messages, their futures and the jobs that run them.
    Flow,
    /// Everything.
    Lifecycle,
    /// Own adverts only.
    Broadcaster,
}

impl Operation {
    pub(super) fn next(source: &mut Source, scope: Scope, seats: usize) -> Self {
        let choice = source.byte();
        match scope {
            Scope::Broadcaster => match choice % 16 {
                0..7 => Self::Send { conduct: source.byte() },
                7..14 => Self::Run(source.byte().into()),
                14 => Self::StartBroadcaster,
                _ if source.chance(16) => Self::Shutdown,
                _ => Self::Pass(Duration::from_millis(source.byte().into())),
            },
            Scope::Lifecycle if choice < 96 => Self::of_lifecycle(source, seats),
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
            12 => Self::Malformed { peer: source.peer() },
            13..17 => Self::Poll(source.byte().into()),
            17..19 => Self::Forsake(source.byte().into()),
            19..27 => Self::Run(source.byte().into()),
            27..29 => Self::Pass(Duration::from_micros(source.byte().into())),
            29 => Self::Pass(Duration::from_millis(source.byte().into())),
            30 => Self::Look,
            _ => Self::FailOffers(source.chance(128)),
        }
    }

    fn of_lifecycle(source: &mut Source, seats: usize) -> Self {
        match source.byte() % 16 {
            0..5 => Self::PeerUp(source.peer()),
            5..10 => Self::PeerDown(source.peer()),
            10..12 => Self::Reconfigure(Box::new(config(source, seats))),
            12 => Self::ReplaceGossip,
            13 => Self::Lift(source.peer()),
            14 => Self::Send { conduct: source.byte() },
            _ if source.chance(2) => Self::Shutdown,
            _ => Self::StartBroadcaster,
        }
    }
}

/// A configuration of small figures, so that every bound is reached.
pub(super) fn config(source: &mut Source, seats: usize) -> ChannelConfig {
    let config = FLOWS.into_iter().fold(ChannelConfig::default(), |config, flow| {
        config.with_flow(flow, flow_config(source, seats))
    });
    let transport = FlowConfig::new(1 + source.one_of(4))
        .with_peer_quota(2)
        .with_threads(1 + source.one_of(2))
        .with_wait_strategy(WaitStrategy::GiveBack);
    config
        .with_flow(FlowType::Transport, transport)
        .with_drop_notice_interval(Duration::from_millis(source.byte().into()))
        .with_stuck_handler_timeout(Duration::from_millis(source.byte().into()))
}

/// What cannot change is the same in all of them.
fn flow_config(source: &mut Source, seats: usize) -> FlowConfig {
    let bytes = |source: &mut Source| source.chance(64).then(|| 1 + u64::from(source.byte() % 32));
    let mut config = FlowConfig::new(1 + source.one_of(6))
        .with_peer_quota(1 + source.one_of(3))
        .with_max_peers(seats)
        .with_max_waiters(3)
        .with_threads(1 + source.one_of(2))
        .with_quantum(Duration::from_nanos(source.byte().into()))
        .with_max_bytes(bytes(source))
        .with_peer_max_bytes(bytes(source))
        .with_overload_policy(match source.byte() % 8 {
            0..4 => OverloadPolicy::Wait,
            4 => OverloadPolicy::Refuse,
            5 => OverloadPolicy::DropNewest,
            _ => OverloadPolicy::DropOldest,
        })
        .with_panic_policy(match source.byte() % 16 {
            0..11 => PanicPolicy::Contain,
            11..15 => PanicPolicy::Quarantine(
                Quarantine::after(2, Duration::from_millis(50))
                    .with_term(Duration::from_millis(source.byte().into())),
            ),
            _ => PanicPolicy::FailFast,
        })
        .with_wait_strategy(if source.chance(64) {
            WaitStrategy::Adaptive(Duration::from_micros(20))
        } else {
            WaitStrategy::GiveBack
        });
    if source.chance(64) {
        config = config.with_max_age(Some(Duration::from_micros(1 + u64::from(source.byte()))));
    }
    if source.chance(32) {
        let (target, interval) = (Duration::from_micros(5), Duration::from_micros(100));
        config = config.with_codel(Some(Codel::new(target, interval)));
    }
    config
}

/// The configuration that a handler is built with: the largest of what cannot grow.
pub(super) fn first_config(
    source: &mut Source,
    seats: usize,
    in_order: [bool; 4],
) -> ChannelConfig {
    let small = config(source, seats);
    FLOWS.into_iter().zip(in_order).fold(small.clone(), |config, (flow, in_order)| {
        let of_flow = small.flow(flow).with_threads(2).with_peer_quota(3);
        let limit = of_flow.max_inflight_requests().max(3);
        config
            .with_flow(flow, of_flow.with_max_inflight_requests(limit).with_order(order(in_order)))
    })
}

pub(super) fn order(in_order: bool) -> Order {
    if in_order { Order::PerPeer } else { Order::Any }
}
