//! Changes while messages flow.

use super::*;

/// Says what it is given, and may panic when it is dropped.
struct Bomb {
    live: bool,
    told: Sender<u32>,
    go: crossbeam::channel::Receiver<()>,
}

impl MessageHandler<u32> for Bomb {
    fn handle(&self, _: NodeId, message: u32) {
        self.told.send(message).unwrap();
        self.go.recv_timeout(LIMIT).unwrap();
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(!self.live, "on purpose");
    }
}

#[test]
fn a_replaced_handler_whose_drop_panics_harms_nobody() {
    let (go, gone) = crossbeam::channel::unbounded();
    let (told, hears) = channel();
    let bomb = |live| Bomb { live, told: told.clone(), go: gone.clone() };
    let config = FlowConfig::new(10).with_peer_quota(10).with_threads(1);
    let flow = FlowWorker::new(FlowType::Request, &config, &MetricsRegistry::new(), bomb(true));
    let flow = flow.unwrap();
    block_on(flow.execute(peer(1), 0)).unwrap();
    assert_eq!(hears.recv_timeout(LIMIT), Ok(0));
    flow.replace_handler(bomb(false));
    (1..3).for_each(|message| brought(flow.execute(peer(1), message)).unwrap());
    (0..3).for_each(|_| go.send(()).unwrap());
    assert_eq!(at_rest(&flow).handled(), 3);
    assert_eq!(flow.snapshot().stray_panics, 0);
}

#[test]
fn what_cannot_change_is_refused_and_nothing_changes() {
    let config = FlowConfig::new(10).with_threads(2).with_peer_quota(4);
    let flow =
        FlowWorker::new(FlowType::Chunk, &config, &MetricsRegistry::new(), |_: NodeId, (): ()| {});
    let flow = flow.unwrap();
    let wrong = [
        (config.with_max_peers(1), "cannot change while it runs: max_peers"),
        (config.with_max_waiters(1), "cannot change while it runs: max_waiters"),
        (config.with_order(Order::PerPeer), "cannot change while it runs: order"),
        (
            config.with_threads(3),
            "cannot change while it runs: threads, which can be no more than it was built with",
        ),
        (
            config.with_peer_quota(5),
            "cannot change while it runs: peer_quota, which can be no larger than it was built with",
        ),
        (config.with_max_bytes(Some(0)), "a bound of 0 bytes; give it 1 to 1099511627776"),
        (
            config.with_max_age(Some(Duration::ZERO)),
            "a maximum age of 0ns; give it more than zero and up to 3600s",
        ),
    ];
    for (wrong, why) in wrong {
        let error = flow.reconfigure(&wrong).unwrap_err();
        assert_eq!(error.to_string(), format!("Chunk flow: {why}"));
    }
    flow.reconfigure(&FlowConfig::new(20).with_threads(1)).unwrap();
}

#[test]
fn a_lower_limit_and_fewer_threads_hold_at_once_and_higher_ones_let_in_who_waits() {
    let (handler, starts, leave) = gated();
    let config = FlowConfig::new(4).with_threads(3).with_peer_quota(4);
    let flow = flow(config, handler);
    (0..3).for_each(|message| block_on(flow.execute(peer(1), message)).unwrap());
    assert_eq!(starts.iter().take(3).count(), 3);
    flow.reconfigure(&config.with_max_inflight_requests(1).with_threads(1)).unwrap();
    let mut waiting: Vec<_> = (3..7).map(|message| flow.execute(peer(1), message)).collect();
    assert!(waiting.iter_mut().all(|waiting| waiting.now_or_never().is_none()));
    (0..2).for_each(|_| leave.send(()).unwrap());
    wait_until("that two have ended", || flow.snapshot().finished() == 2);
    assert_eq!(flow.snapshot().waiting, 4, "one is in flight, which is the limit");
    leave.send(()).unwrap();
    assert_eq!(starts.recv_timeout(LIMIT), Ok(3));
    wait_until("the end of the third", || flow.snapshot().finished() == 3);
    // One at a time, until it may be three.
    flow.reconfigure(&config).unwrap();
    assert_eq!(starts.iter().take(2).count(), 2);
    (0..4).for_each(|_| leave.send(()).unwrap());
    block_on(join_all(waiting)).into_iter().for_each(|admitted| admitted.unwrap());
    assert_eq!(at_rest(&flow).handled(), 7);
}

#[test]
fn every_wait_strategy_can_become_every_other_while_messages_flow() {
    let strategies = [
        WaitStrategy::GiveBack,
        WaitStrategy::Park,
        WaitStrategy::Spin,
        WaitStrategy::Adaptive(Duration::from_micros(20)),
        WaitStrategy::Park,
        WaitStrategy::GiveBack,
    ];
    let config = FlowConfig::new(8).with_threads(2);
    let flow = flow(config, |_, (): ()| {});
    for round in 0..200_usize {
        let strategy = strategies[round % strategies.len()];
        let threads = 1 + round % 2;
        flow.reconfigure(&config.with_threads(threads).with_wait_strategy(strategy)).unwrap();
        for number in 0..(round % 5) as u8 {
            block_on(flow.execute(peer(number), ())).unwrap();
        }
        at_rest(&flow);
    }
    assert!(flow.shutdown(LIMIT).is_clean());
}
