//! Configurations at random that a handler can be given while it runs.

use std::time::Duration;

use gossip_engine::{
    ChannelConfig, FlowConfig, FlowType, OverloadPolicy, Quarantine, WaitStrategy,
};
use strum::IntoEnumIterator;

use super::clock::split_mix;

/// Random numbers; for one seed always the same.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `sides`.
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        split_mix(&mut self.0) % sides
    }

    /// True once in so many times.
    pub(crate) fn once_in(&mut self, times: u64) -> bool {
        self.roll(times) == 0
    }

    pub(crate) fn one_of<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.roll(values.len() as u64) as usize]
    }

    fn micros(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_micros(from + self.roll(to - from))
    }
}

/// Whether a change may lose messages that were submitted, or make the engine refuse them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Losses {
    Allowed,
    None,
}

/// A configuration that a handler which was built with `built` can change to.
pub(crate) fn random(built: &ChannelConfig, dice: &mut Dice, losses: Losses) -> ChannelConfig {
    let config = FlowType::iter().fold(built.clone(), |config, flow| {
        config.with_flow(flow, flow_at_random(&built.flow(flow), flow, dice, losses))
    });
    match losses {
        Losses::None => config,
        Losses::Allowed => {
            let quarantine = Quarantine::after(1 + dice.roll(4) as u32, Duration::from_secs(1))
                .with_term(dice.micros(100, 50_000));
            config.with_quarantine(dice.once_in(3).then_some(quarantine))
        }
    }
}

/// One of its flows, of this type.
pub(crate) fn flow_at_random(
    built: &FlowConfig,
    flow: FlowType,
    dice: &mut Dice,
    losses: Losses,
) -> FlowConfig {
    let limit = 1 + dice.roll(2 * built.max_inflight_requests() as u64) as usize;
    let bytes = |dice: &mut Dice| {
        dice.once_in(2).then(|| dice.one_of(&[1, 4 << 10, 64 << 10, 1 << 20, 16 << 20]))
    };
    let config = built
        .with_max_inflight_requests(limit)
        .with_peer_quota(1 + dice.roll(built.peer_quota() as u64) as usize)
        .with_quantum(Duration::from_micros(dice.one_of(&[0, 2, 50, 1_000])))
        .with_wait_strategy(wait_strategy(dice))
        .with_max_bytes(bytes(dice))
        .with_peer_max_bytes(bytes(dice));
    match losses {
        Losses::None => config,
        Losses::Allowed => lossy(config, flow, dice),
    }
}

fn wait_strategy(dice: &mut Dice) -> WaitStrategy {
    match dice.roll(20) {
        // Rare: it takes a core from everybody else.
        0 => WaitStrategy::Spin,
        1..=9 => WaitStrategy::Park,
        _ => WaitStrategy::Adaptive(dice.micros(0, 1_000)),
    }
}

fn lossy(config: FlowConfig, flow: FlowType, dice: &mut Dice) -> FlowConfig {
    if flow == FlowType::Transport {
        // It may neither drop nor refuse to hear of a peer.
        let policies = [OverloadPolicy::Wait, OverloadPolicy::Refuse];
        return config.with_overload_policy(dice.one_of(&policies));
    }
    let policies = [
        OverloadPolicy::Wait,
        OverloadPolicy::Wait,
        OverloadPolicy::Refuse,
        OverloadPolicy::DropNewest,
        OverloadPolicy::DropOldest,
    ];
    config
        .with_overload_policy(dice.one_of(&policies))
        .with_max_age(dice.once_in(3).then(|| dice.micros(100, 50_000)))
}
