//! Runs a simulation: one operation after the other, and some in the middle of others.

use std::{
    cell::{Cell, RefCell, RefMut},
    collections::BTreeMap,
    rc::Rc,
    time::Duration,
};

pub use super::operations::Scope;
use super::{
    calls::Call,
    clock,
    operations::{Built, FLOWS, Operation, PEERS, Source, config},
    oracle::{Id, Oracle},
    replica::{Conduct, MALFORMED, Message, NoMessage, Replica, SimulationCodec, UNKNOWN, replica},
    threads,
};
use crate::{
    AdvertBroadcaster, ArtifactDestination, AsyncTransportEventHandlerImpl, ChannelConfig,
    DropReason, FlowType, MetricsRegistry, NodeId, RefusalReason, Slot, Submitted,
    flow_worker::as_another_thread, sync::Ordering,
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
    /// What handlers hold.
    pub(super) slots: RefCell<Vec<(Id, Slot)>>,
    broadcaster: AdvertBroadcaster<Replica>,
    registry: MetricsRegistry,
    built: Built,
    next_id: Cell<Id>,
    depth: Cell<usize>,
    /// How many handlers are below on what stands for the current thread.
    handlers: Cell<usize>,
    calm: Cell<bool>,
    failed: RefCell<Vec<FlowType>>,
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
    let built = Built::next(&mut source);
    let config = config(&mut source, &built);
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
        slots: RefCell::default(),
        broadcaster: broadcaster.expect("threads are simulated"),
        registry,
        built,
        next_id: Cell::new(0),
        depth: Cell::new(0),
        handlers: Cell::new(0),
        calm: Cell::new(false),
        failed: RefCell::default(),
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
        index.is_some_and(|index| self.built.in_order[index])
    }

    /// Other things happen in the middle of a callback.
    pub(super) fn meanwhile(&self) {
        if self.calm.get() || self.depth.get() == MAX_DEPTH {
            return;
        }
        self.depth.set(self.depth.get() + 1);
        self.handlers.set(self.handlers.get() + 1);
        let steps = self.source.borrow_mut().byte() % 4;
        for _ in 0..steps {
            self.step();
        }
        self.handlers.set(self.handlers.get() - 1);
        self.depth.set(self.depth.get() - 1);
    }

    /// Does something as if it were on another thread, on which no handler runs.
    fn on_another_thread<R>(&self, run: impl FnOnce() -> R) -> R {
        let handlers = self.handlers.replace(0);
        let result = run();
        self.handlers.set(handlers);
        result
    }

    /// Whether a callback that is not of a message panics.
    pub(super) fn callback_panics(&self) -> bool {
        !self.calm.get() && self.source.borrow_mut().byte() % 16 == 1
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

    fn run_one(&self, choice: usize) -> bool {
        self.on_another_thread(|| threads::run_one(choice))
    }

    fn step(&self) {
        let operation = Operation::next(&mut self.source.borrow_mut(), self.scope, &self.built);
        self.oracle().observe(&format!("{operation:?}"), &[]);
        match operation {
            Operation::Message { peer, flow, conduct } => self.submit(peer, flow, conduct),
            Operation::Malformed { peer } => {
                self.submit_bytes(peer, MALFORMED, NoMessage::Malformed);
            }
            Operation::Unknown { peer } => self.submit_bytes(peer, UNKNOWN, NoMessage::Unknown),
            Operation::PeerUp(peer) => self.peer_changes(peer, true),
            Operation::PeerDown { peer, runs } => {
                self.peer_changes(peer, false);
                for _ in 0..runs {
                    let _ = self.run_one(0);
                }
            }
            Operation::Poll(call) => self.poll(call),
            Operation::GiveUp(call) => self.give_up_one(call),
            Operation::Finish(choice) => drop(self.finish(choice)),
            Operation::Run(worker) => drop(self.run_one(worker)),
            Operation::Pass(time) => drop(clock::pass(time)),
            Operation::Look => self.on_another_thread(threads::look),
            Operation::Reconfigure { config, valid } => self.reconfigure(*config, valid),
            Operation::ReplaceGossip => self.handler.replace_gossip(&replica()),
            Operation::Lift(peer) => {
                let was_in_one = self.handler.lift_quarantine(peer);
                self.oracle().lifts(peer, was_in_one);
            }
            Operation::Weigh(peer, weight) => {
                let is_set = self.handler.set_peer_weight(peer, weight);
                let has_place = self.built.lanes == usize::from(PEERS);
                self.oracle().check(is_set || !has_place, || "a weight is not set".into());
            }
            Operation::Send { conduct } => self.send(conduct),
            Operation::StartBroadcaster => self.broadcaster.start(replica()),
            Operation::Shutdown { own_thread: true } => {
                self.on_another_thread(|| as_another_thread(|| self.shut_down()));
            }
            Operation::Shutdown { own_thread: false } => self.shut_down(),
        }
    }

    fn shut_down(&self) {
        let gone = self.oracle().gone();
        let of_flows = self.handler.shutdown(Duration::ZERO);
        let of_adverts = self.broadcaster.shutdown(Duration::ZERO);
        self.oracle().closes();
        if self.handlers.get() == 0 {
            // Whatever is left then is dropped and counted.
            self.oracle().is_over();
            return;
        }
        // What was admitted still runs.
        let gone = self.oracle().gone() - gone;
        self.oracle().check(gone == 0, || format!("{gone} dropped by a handler's shutdown"));
        let reports = of_flows.flows().map(|(_, report)| report).chain([of_adverts]);
        for report in reports {
            self.oracle().check(report.dropped == 0 && !report.joined, || {
                format!("a handler's shutdown has waited: {report:?}")
            });
        }
    }

    fn reconfigure(&self, config: ChannelConfig, valid: bool) {
        let changed = self.handler.reconfigure(config);
        self.oracle().check(changed.is_ok() == valid, || format!("reconfigure: {changed:?}"));
    }

    /// Drops a slot that is held; false if there is none.
    fn finish(&self, choice: usize) -> bool {
        let held = self.slots.borrow().len();
        if held == 0 {
            return false;
        }
        let (id, slot) = self.slots.borrow_mut().remove(choice % held);
        self.oracle().finishes(id);
        self.on_another_thread(|| as_another_thread(|| drop(slot)));
        true
    }

    fn send(&self, conduct: u8) {
        let id = self.new_id();
        self.oracle().sends(id, NodeId::new([0; 32]));
        let conduct = match Conduct::of(conduct) {
            Conduct::IsSlow => Conduct::IsSlow,
            _ => Conduct::Returns,
        };
        let sent = self.broadcaster.send(Message { id, conduct }, ArtifactDestination::AllReplicas);
        let heard = match &sent {
            Ok(()) => Ok(Submitted::Admitted),
            Err(dropped) => Err(match dropped.reason {
                DropReason::Closed => RefusalReason::Closed,
                DropReason::Full => RefusalReason::Full,
            }),
        };
        self.oracle().hears(id, heard);
        drop(sent);
    }

    /// Faults stop: what can run runs, what is woken is polled, and time passes.
    fn come_to_rest(&self) {
        self.calm.set(true);
        self.broadcaster.start(replica());
        let mut rounds = 0;
        loop {
            assert!(rounds < CALM_ROUNDS, "the engine does not come to rest");
            rounds += 1;
            let mut busy = self.run_one(0) | self.finish(0);
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
            // A look may have submitted departures that a shutdown refuses.
            let is_woken = self.calls.borrow().iter().any(woken);
            if !self.run_one(0) && !is_woken {
                break;
            }
        }
        self.assert_sound();
        let left = self.calls.borrow().iter().map(|call| call.what).collect::<Vec<_>>();
        assert!(left.is_empty(), "calls that nobody woke: {left:?}");
        let has_lanes = self.built.lanes == usize::from(PEERS);
        self.oracle().at_rest(&self.registry.snapshot(), &FLOWS, has_lanes);
        assert!(self.handler.shutdown(Duration::ZERO).is_clean());
        assert!(self.broadcaster.shutdown(Duration::ZERO).is_clean());
        self.assert_sound();
    }
}
