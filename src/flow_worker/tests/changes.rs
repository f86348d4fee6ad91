//! Changes while messages flow.

use super::*;

/// Says what it is given, and may panic when it is dropped.
struct Bomb {
    live: bool,
    told: Sender<u32>,
    go: crossbeam::channel::Receiver<()>,
}

impl MessageHandler<u32> for Bomb {
    fn handle(&self, _: &NodeId, message: u32) {
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
    (1..3).for_each(|message| _ = at_once(flow.execute(peer(1), message)).unwrap());
    (0..3).for_each(|_| go.send(()).unwrap());
    assert_eq!(at_rest(&flow).handled(), 3);
    assert_eq!(flow.snapshot().stray_panics, 0);
}

#[test]
fn a_replaced_handler_is_let_go_of_by_workers_that_have_nothing_to_do() {
    for strategy in STRATEGIES {
        let config = FlowConfig::new(10).with_threads(3).with_wait_strategy(strategy);
        let owner = Arc::new(());
        let handler = || {
            let (owned, all) = (Arc::clone(&owner), Barrier::new(3));
            move |_: &NodeId, (): ()| {
                let _ = &owned;
                all.wait();
            }
        };
        let flow = FlowWorker::new(FlowType::Request, &config, &MetricsRegistry::new(), handler())
            .unwrap();
        // All three have run something. Then they search, sleep, or are on their way to it.
        (1..4).for_each(|from| _ = at_once(flow.execute(peer(from), ())).unwrap());
        at_rest(&flow);
        for round in 0..200_u32 {
            flow.replace_handler(handler());
            wait_until("the end of the one before", || Arc::strong_count(&owner) == 2);
            (0..round % 50).for_each(|_| std::hint::spin_loop());
        }
        assert!(flow.shutdown(LIMIT).is_clean());
    }
}

#[test]
fn what_cannot_change_is_refused_and_nothing_changes() {
    let config = FlowConfig::new(10).with_threads(2).with_peer_quota(4);
    let flow =
        FlowWorker::new(FlowType::Chunk, &config, &MetricsRegistry::new(), |_: &NodeId, (): ()| {});
    let flow = flow.unwrap();
    let wrong = [
        (config.with_max_peers(1), "cannot change while it runs: max_peers"),
        (config.with_max_waiters(1), "cannot change while it runs: max_waiters"),
        (config.with_peer_threads(2), "cannot change while it runs: peer_threads"),
        (config.with_threads(3), "cannot change while it runs: threads"),
        (config.with_threads(1), "cannot change while it runs: threads"),
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
    flow.reconfigure(&FlowConfig::new(20).with_threads(2)).unwrap();
}

#[test]
fn a_lower_limit_holds_at_once_and_a_higher_one_lets_in_those_who_wait() {
    let (handler, starts, leave) = gated();
    let config = FlowConfig::new(4).with_threads(3).with_peer_threads(3).with_peer_quota(4);
    let flow = flow(config, handler);
    (0..3).for_each(|message| _ = block_on(flow.execute(peer(1), message)).unwrap());
    assert_eq!(starts.iter().take(3).count(), 3);
    flow.reconfigure(&config.with_max_inflight_requests(1)).unwrap();
    let mut waiting: Vec<_> = (3..7).map(|message| flow.execute(peer(1), message)).collect();
    assert!(waiting.iter_mut().all(|waiting| waiting.now_or_never().is_none()));
    (0..2).for_each(|_| leave.send(()).unwrap());
    wait_until("the end of two", || flow.snapshot().finished() == 2);
    assert_eq!(flow.snapshot().waiting, 4, "one is in flight, which is the limit");
    leave.send(()).unwrap();
    assert_eq!(starts.recv_timeout(LIMIT), Ok(3));
    wait_until("the end of the third", || flow.snapshot().finished() == 3);
    // One at a time, until it may be four.
    assert_eq!(flow.snapshot().waiting, 3);
    flow.reconfigure(&config).unwrap();
    assert_eq!(starts.iter().take(2).count(), 2);
    (0..4).for_each(|_| leave.send(()).unwrap());
    block_on(join_all(waiting)).into_iter().for_each(|admitted| _ = admitted.unwrap());
    assert_eq!(at_rest(&flow).handled(), 7);
}

#[test]
fn a_quota_that_grows_lets_in_those_who_wait() {
    let config = FlowConfig::new(10).with_peer_quota(1).with_threads(1);
    let (flow, starts, leave) = busy(config);
    let mut waiting: Vec<_> = (1..4).map(|message| flow.execute(peer(1), message)).collect();
    assert!(waiting.iter_mut().all(|waiting| waiting.now_or_never().is_none()));
    flow.reconfigure(&config.with_peer_quota(3)).unwrap();
    assert_eq!((flow.snapshot().in_flight, flow.snapshot().waiting), (3, 1));
    flow.reconfigure(&config.with_peer_quota(10)).unwrap();
    block_on(join_all(waiting)).into_iter().for_each(|admitted| _ = admitted.unwrap());
    (0..4).for_each(|_| leave.send(()).unwrap());
    assert_eq!(at_rest(&flow).handled(), 4);
    assert!(starts.try_iter().eq(1..4));
}

#[test]
fn every_wait_strategy_can_become_every_other_while_messages_flow() {
    let config = FlowConfig::new(8).with_threads(2);
    let flow = flow(config, |_, (): ()| {});
    for round in 0..10 * STRATEGIES.len() * STRATEGIES.len() {
        // All pairs: the step from one to the next grows with each time around.
        let step = round / STRATEGIES.len();
        let strategy = STRATEGIES[(round + round * step) % STRATEGIES.len()];
        flow.reconfigure(&config.with_wait_strategy(strategy)).unwrap();
        for number in 0..(round % 5) as u8 {
            block_on(flow.execute(peer(number), ())).unwrap();
        }
        at_rest(&flow);
    }
    assert!(flow.shutdown(LIMIT).is_clean());
}
