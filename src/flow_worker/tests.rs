//! The face of a flow, on real threads.

use std::{
    collections::BTreeSet,
    sync::{
        Barrier,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::Instant,
};

use futures_executor::block_on;
use futures_util::{FutureExt, future::join_all};

use super::*;
use crate::{
    FlowSnapshot, FlowType, Outcome, OverloadPolicy, PanicPolicy, RefusalReason, Submitted,
    WaitStrategy,
    clock::instant_after,
    sync::{AtomicBool, AtomicU64, Ordering},
};

mod batches;
mod changes;
mod counts;
mod departure;
mod helpers;
mod latest;
mod overload;
mod panics;
mod peers;
mod services;
mod shutdown;
mod slots;
mod stress;
mod turns;
mod waiting;
mod watch;

/// Every way for workers to wait.
const STRATEGIES: [WaitStrategy; 5] = [
    WaitStrategy::Adaptive(Duration::ZERO),
    WaitStrategy::Adaptive(Duration::from_micros(20)),
    WaitStrategy::Adaptive(Duration::from_millis(1)),
    WaitStrategy::Park,
    WaitStrategy::Spin,
];

/// How often a test that depends on who is quicker is repeated, unless `GOSSIP_STRESS_ROUNDS` says otherwise.
fn rounds(few: usize) -> usize {
    std::env::var("GOSSIP_STRESS_ROUNDS")
        .map_or(few, |rounds| rounds.parse().expect("a number of rounds"))
}

/// Beyond this a test has failed; nothing passes by taking long.
const LIMIT: Duration = Duration::from_secs(60);

fn peer(number: u8) -> NodeId {
    NodeId::new([number; 32])
}

fn flow<M: Send + 'static>(
    config: FlowConfig,
    handler: impl Fn(&NodeId, M) + Send + Sync + 'static,
) -> FlowWorker<M> {
    // One peer may have all of it, unless a test is about quotas.
    let config = config.with_peer_quota(config.max_inflight_requests());
    FlowWorker::new(FlowType::Request, &config, &MetricsRegistry::new(), handler).unwrap()
}

/// Waits until `condition` holds.
fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let limit = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < limit, "{what} did not come about");
        thread::yield_now();
    }
}

/// A handler that reports each message and waits for leave to end.
fn gated() -> (impl Fn(&NodeId, u32) + Send + Sync + 'static, Receiver<u32>, Sender<()>) {
    let (started, starts) = channel();
    let (leave, leaves) = crossbeam::channel::unbounded::<()>();
    let (sender, ends) = channel();
    thread::spawn(move || ends.into_iter().for_each(|()| leave.send(()).unwrap_or(())));
    let handler = move |_: &NodeId, message| {
        started.send(message).unwrap();
        leaves.recv_timeout(LIMIT).expect("the test gives leave");
    };
    (handler, starts, sender)
}

/// A flow of one thread whose handlers wait for leave, the first of which has begun on message 0 of peer 1.
fn busy(config: FlowConfig) -> (FlowWorker<u32>, Receiver<u32>, Sender<()>) {
    let (handler, starts, leave) = gated();
    let registry = MetricsRegistry::new();
    let flow = FlowWorker::new(FlowType::Request, &config.with_threads(1), &registry, handler);
    let flow = flow.unwrap();
    block_on(flow.execute(peer(1), 0)).unwrap();
    assert_eq!(starts.recv_timeout(LIMIT), Ok(0));
    (flow, starts, leave)
}

fn at_rest<M: Send + 'static>(flow: &FlowWorker<M>) -> FlowSnapshot {
    wait_until("rest", || flow.snapshot().in_flight == 0);
    let counts = flow.snapshot();
    counts.verify("test").unwrap();
    assert_eq!((counts.waiting, counts.bytes_in_flight), (0, 0));
    counts
}

fn at_once<T>(execute: impl Future<Output = T> + Unpin) -> T {
    execute.now_or_never().expect("nobody has to wait")
}

#[test]
fn a_wrong_configuration_is_refused_before_a_thread_starts() {
    let built = FlowWorker::new(
        FlowType::Chunk,
        &FlowConfig::new(1).with_threads(0),
        &MetricsRegistry::new(),
        |_: &NodeId, (): ()| {},
    );
    assert_eq!(built.unwrap_err().to_string(), "Chunk flow: no threads; give it 1 to 256");
    for name in ["", "Broadcast"] {
        let (config, registry) = (FlowConfig::new(1), MetricsRegistry::new());
        let built = FlowWorker::new(name, &config, &registry, |_: &NodeId, (): ()| {});
        assert!(matches!(built, Err(BuildError::Config(ConfigError::Name { .. }))), "{name}");
    }
}

#[test]
fn handlers_run_on_the_named_threads_of_the_flow() {
    let (sender, receiver) = channel();
    let flow = flow(FlowConfig::new(10), move |peer, message: u32| {
        let name = thread::current().name().map(str::to_owned);
        sender.send((name, *peer, message, rayon::current_num_threads())).unwrap();
    });
    block_on(flow.execute(peer(1), 7)).unwrap();
    let name = Some("P2P_Request_Thread".to_owned());
    assert_eq!(receiver.recv_timeout(LIMIT).unwrap(), (name, peer(1), 7, 3));
}

#[test]
fn a_handler_may_submit_messages_to_its_own_flow() {
    type Slot = std::sync::OnceLock<Arc<dyn Fn(u32) + Send + Sync>>;
    let next: Arc<Slot> = Arc::default();
    let (sender, receiver) = channel();
    let in_handler = Arc::clone(&next);
    let flow = Arc::new(flow(FlowConfig::new(2).with_threads(1), move |_, left: u32| match left {
        0 => sender.send(()).unwrap(),
        _ => in_handler.get().unwrap()(left - 1),
    }));
    let weak = Arc::downgrade(&flow);
    let resubmit = move |left| {
        let flow = weak.upgrade().expect("the test keeps the flow");
        flow.execute(peer(1), left).now_or_never().expect("there is capacity").unwrap();
    };
    assert!(next.set(Arc::new(resubmit)).is_ok());
    block_on(flow.execute(peer(1), 1_000)).unwrap();
    receiver.recv_timeout(LIMIT).unwrap();
}

#[test]
fn every_wait_strategy_runs_everything_and_ends() {
    for strategy in STRATEGIES {
        let config = FlowConfig::new(10).with_threads(2).with_wait_strategy(strategy);
        let flow = flow(config, |_, _: u32| {});
        for message in 0..2_000 {
            block_on(flow.execute(peer(1), message)).unwrap();
            if message % 500 == 0 {
                wait_until("idleness", || flow.snapshot().in_flight == 0);
            }
        }
        assert!(flow.shutdown(LIMIT).is_clean(), "{strategy:?}");
        assert_eq!(flow.snapshot().handled(), 2_000);
    }
}
