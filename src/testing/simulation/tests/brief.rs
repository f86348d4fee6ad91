//! Those who wait behind a brief message, in the simulation's time: on a machine, few can be relied on to be brief.

use std::time::Duration;

use futures_util::FutureExt;

use super::super::{
    clock,
    threads::{Running, run_one},
};
use crate::{FlowConfig, FlowType, FlowWorker, MetricsRegistry, NodeId, WaitStrategy};

#[test]
fn who_waits_behind_a_brief_message_is_let_in_although_a_long_one_of_another_peer_follows() {
    let running = Running::begin();
    let config = FlowConfig::new(100)
        .with_peer_quota(1)
        .with_threads(1)
        .with_wait_strategy(WaitStrategy::Park);
    let handler = |_: &NodeId, micros| {
        let now = clock::read().expect("a simulation runs on this thread");
        clock::set(Some(now + Duration::from_micros(micros)));
    };
    let flow = FlowWorker::new(FlowType::Advert, &config, &MetricsRegistry::new(), handler);
    let flow = flow.expect("the configuration is in range");
    let [peer, other] = [1, 2].map(|number| NodeId::new([number; 32]));
    assert!(flow.execute(peer, 0).now_or_never().is_some());
    let mut waiting = flow.execute(peer, 0);
    assert!((&mut waiting).now_or_never().is_none());
    assert!(flow.execute(other, 50).now_or_never().is_some());
    while run_one(0) {}
    assert!(waiting.now_or_never().is_some_and(|outcome| outcome.is_ok()));
    assert_eq!(flow.snapshot().handled(), 3);
    assert!(flow.shutdown(Duration::ZERO).is_clean());
    drop(running);
}
