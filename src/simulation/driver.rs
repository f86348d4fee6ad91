//! Runs a simulation: one operation after the other, and some in the middle of others.

use std::{
    cell::{Cell, RefCell, RefMut},
    collections::{BTreeMap, VecDeque},
    future::Future as _,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use tower_service::Service as _;

pub use super::operations::Scope;
use super::{
    calls::{Call, Told},
    clock,
    operations::{FLOWS, Operation, PEERS, Source, first_config, order},
    oracle::{Id, Oracle},
    replica::{Conduct, Message, Replica, SimulationCodec, replica},
    threads,
};
use crate::{
    AdvertBroadcaster, ArtifactDestination, AsyncTransportEventHandlerImpl, ChannelConfig,
    EventError, FlowType, MetricsRegistry, NodeId, TransportEvent, TransportMessage,
    sync::Ordering,
};

/// How deep handlers do things while others run.
const MAX_DEPTH: usize = 4;

/// After so many rounds in which faults have stopped, everything must be at rest.
const CALM_ROUNDS: usize = 2_000;

type Handler = AsyncTransportEventHandlerImpl<Replica, SimulationCodec>;

thread_local! {
    static DRIVER: RefCell<Option<Rc<Driver>>> = const { RefCell::new(None) };
}

/// Uses the driver of the simulation that runs on this thread.
pub(super) fn with<R>(use_it: impl FnOnce(&Driver) -> R) -> R {
    let driver = DRIVER.with_borrow(|driver| driver.clone().expect("a simulation runs"));
    use_it(&driver)
}

/// A simulation under way.
pub(super) struct Driver {
    scope: Scope,
    source: RefCell<Source>,
    oracle: RefCell<Oracle>,
    pub(super) calls: RefCell<Vec<Call>>,
    pub(super) handler: Handler,
    /// By peer, the clones that its events come by.
    pub(super) streams: RefCell<BTreeMap<NodeId, Handler>>,
    broadcaster: AdvertBroadcaster<Replica>,
    registry: MetricsRegistry,
    /// By the order of `FLOWS`.
    in_order: [bool; 4],
    /// How many peers may have a lane.
    seats: usize,
    next_id: Cell<Id>,
    depth: Cell<usize>,
    calm: Cell<bool>,
    is_shut: Cell<bool>,
    failed: RefCell<Vec<FlowType>>,
    /// What the replica is to be told of each peer, in this order.
    pub(super) to_tell: RefCell<BTreeMap<NodeId, VecDeque<Told>>>,
}

/// Runs the operations that the bytes stand for, then lets everything come to rest; returns a number that
/// stands for all that was observed.
///
/// # Panics
///
/// If anything is wrong with the engine.
#[must_use]
pub fn run(bytes: &[u8], scope: Scope) -> u64 {
    let running = threads::Running::begin();
    let mut source = Source::new(bytes);
    let orders = source.byte();
    let in_order = [0, 1, 2, 3].map(|flow| orders & (1 << flow) > 0);
    // One seat less than peers, or one for each.
    let seats = usize::from(PEERS) - usize::from(orders >> 7);
    let config = first_config(&mut source, seats, in_order);
    let registry = MetricsRegistry::new();
    let handler =
        Handler::with_codec(NodeId::new([0; 32]), &registry, config, replica(), SimulationCodec);
    let broadcaster = AdvertBroadcaster::with_max_inflight(&registry, 3);
    let driver = Rc::new(Driver {
        scope,
        source: RefCell::new(source),
        oracle: RefCell::default(),
        calls: RefCell::default(),
        handler: handler.expect("the configuration is in range"),
        streams: RefCell::default(),
        broadcaster: broadcaster.expect("threads are simulated"),
        registry,
        in_order,
        seats,
        next_id: Cell::new(0),
        depth: Cell::new(0),
        calm: Cell::new(false),
        is_shut: Cell::new(false),
        failed: RefCell::default(),
        to_tell: RefCell::default(),
    });
    DRIVER.set(Some(Rc::clone(&driver)));
    let ended = Ended;
    while !driver.source.borrow().is_empty() {
        driver.step();
        driver.assert_sound();
    }
    driver.come_to_rest();
    let trace = driver.oracle.borrow().trace();
    drop(ended);
    drop(driver);
    drop(running);
    trace
}

/// Takes the driver away.
struct Ended;

impl Drop for Ended {
    fn drop(&mut self) {
        let driver = DRIVER.take();
        if std::thread::panicking() {
            if let Some(driver) = &driver {
                #[expect(clippy::print_stdout, reason = "what led to the failure")]
                driver.oracle.borrow().recent.iter().for_each(|line| println!("{line}"));
            }
            // What is left of a run that has failed would fail again.
            std::mem::forget(driver);
        }
    }
}

impl Driver {
    pub(super) fn oracle(&self) -> RefMut<'_, Oracle> {
        self.oracle.borrow_mut()
    }

    /// Whether a flow runs the messages of a peer in order.
    pub(super) fn keeps_order(&self, flow: FlowType) -> bool {
        let index = FLOWS.iter().position(|other| *other == flow);
        index.is_some_and(|index| self.in_order[index])
    }

    /// Other things happen in the middle of a callback.
    pub(super) fn meanwhile(&self) {
        if self.calm.get() || self.depth.get() == MAX_DEPTH {
            return;
        }
        self.depth.set(self.depth.get() + 1);
        let steps = self.source.borrow_mut().byte() % 4;
        for _ in 0..steps {
            self.step();
        }
        self.depth.set(self.depth.get() - 1);
    }

    /// The replica is told that a peer has come or gone.
    pub(super) fn told_of(&self, peer: NodeId, up: bool) {
        let told = self.to_tell.borrow_mut().entry(peer).or_default().pop_front();
        let mut oracle = self.oracle();
        match told {
            Some((true, connection)) if up => oracle.told_up(peer, connection),
            Some((false, connection)) if !up => oracle.told_down(peer, connection),
            other => oracle.violations.push(format!("told of {peer}, up: {up}, not of {other:?}")),
        }
    }

    /// A flow has failed by a panic.
    pub(super) fn failed(&self, flow: FlowType) {
        if self.failed.borrow().contains(&flow) {
            self.oracle().violations.push(format!("{flow} has failed twice"));
        }
        self.failed.borrow_mut().push(flow);
    }

    fn assert_sound(&self) {
        let oracle = self.oracle.borrow();
        assert!(oracle.violations.is_empty(), "{:#?}", oracle.violations);
    }

    pub(super) fn new_id(&self) -> Id {
        self.next_id.set(self.next_id.get() + 1);
        self.next_id.get()
    }

    fn step(&self) {
        let operation = Operation::next(&mut self.source.borrow_mut(), self.scope, self.seats);
        self.oracle().observe(&format!("{operation:?}"), &[]);
        match operation {
            Operation::Message { peer, flow, conduct } => self.bring(peer, flow, conduct),
            Operation::Malformed { peer } => {
                self.oracle().brings_event();
                let payload = bytes::Bytes::from_static(b"?");
                let message = TransportMessage { peer_id: peer, payload };
                let mut call = self.handler.clone().call(TransportEvent::Message(message));
                let polled = Pin::new(&mut call).poll(&mut Context::from_waker(Waker::noop()));
                assert!(matches!(polled, Poll::Ready(Err(EventError::Malformed { .. }))));
            }
            Operation::PeerUp(peer) => self.peer_changes(peer, true),
            Operation::PeerDown(peer) => self.peer_changes(peer, false),
            Operation::Poll(call) => self.poll(call),
            Operation::Forsake(call) => self.forsake(call),
            Operation::Run(job) => drop(threads::run_one(job)),
            Operation::Pass(time) => drop(clock::pass(time)),
            Operation::Look => threads::look(),
            Operation::FailOffers(fail) => threads::fail_offers(fail),
            Operation::Reconfigure(config) => self.reconfigure(&config),
            Operation::ReplaceGossip => self.handler.replace_gossip(&replica()),
            Operation::Lift(peer) => drop(self.handler.lift_quarantine(peer)),
            Operation::Send { conduct } => self.send(conduct),
            Operation::StartBroadcaster => self.broadcaster.start(replica()),
            Operation::Shutdown => {
                self.is_shut.set(true);
                // Whatever is left then is dropped and counted.
                let _ = self.handler.shutdown(Duration::ZERO);
                let _ = self.broadcaster.shutdown(Duration::ZERO);
            }
        }
    }

    fn reconfigure(&self, config: &ChannelConfig) {
        let config = FLOWS.into_iter().zip(self.in_order).fold(
            config.clone(),
            |config, (flow, in_order)| {
                let of_flow = config.flow(flow).with_order(order(in_order));
                config.with_flow(flow, of_flow)
            },
        );
        // More threads than the Transport flow was built with are refused, with all of it.
        let _ = self.handler.reconfigure(config);
    }

    fn send(&self, conduct: u8) {
        let id = self.new_id();
        self.oracle().sends(id, NodeId::new([0; 32]));
        let conduct = match Conduct::of(conduct) {
            Conduct::IsSlow => Conduct::IsSlow,
            _ => Conduct::Returns,
        };
        let sent = self.broadcaster.send(Message { id, conduct }, ArtifactDestination::AllReplicas);
        self.oracle().hears(id, sent.is_err());
        drop(sent);
    }

    /// Faults stop: whatever can run runs, whoever is woken is polled, and time passes.
    fn come_to_rest(&self) {
        self.calm.set(true);
        threads::fail_offers(false);
        self.broadcaster.start(replica());
        let mut rounds = 0;
        loop {
            assert!(rounds < CALM_ROUNDS, "the engine does not come to rest");
            rounds += 1;
            let mut busy = threads::run_one(0);
            let woken = |call: &Call| call.woken.0.load(Ordering::Acquire);
            if let Some(call) = self.take_call(0, woken) {
                busy = true;
                if let Some(call) = self.poll_call(call) {
                    self.calls.borrow_mut().push(call);
                }
            }
            self.assert_sound();
            if busy {
                continue;
            }
            // Notices are due after a while, and make work.
            clock::pass(Duration::from_secs(1));
            threads::look();
            if !threads::run_one(0) {
                break;
            }
        }
        let left = self.calls.borrow().iter().map(|call| call.what).collect::<Vec<_>>();
        assert!(left.is_empty(), "calls that nobody woke: {left:?}");
        // What is withheld is released by those who were told, so nothing is.
        let all_seated = self.seats == usize::from(PEERS);
        self.oracle().at_rest(&self.registry.snapshot(), &FLOWS, all_seated);
        if !self.is_shut.get() {
            assert!(self.handler.shutdown(Duration::ZERO).is_clean());
        }
        self.assert_sound();
    }
}
