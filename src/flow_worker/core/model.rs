//! What loom explores of the whole: lanes, claims and drain jobs, as they are put together here. Jobs
//! run on the thread that starts them.

use std::{cell::Cell, sync::Mutex};

use std::time::Duration;

use loom::thread;

use super::*;
use crate::{
    FlowConfig, Outcome, WaitStrategy,
    flow_worker::{admission::Entry, brought::Decision},
};

loom::thread_local! {
    /// 0 on the model's first thread, 1 on the other.
    static WORKER: Cell<usize> = Cell::new(0);
}

struct Inline;

impl Spawn for Inline {
    fn spawn(&self, job: Arc<dyn Job>) -> bool {
        job.run();
        true
    }

    fn offer(&self, _: Arc<dyn Job>) -> bool {
        false
    }

    fn worker(&self) -> usize {
        WORKER.with(|worker| worker.get())
    }

    fn alive(&self) -> usize {
        1
    }

    fn stack_depth(&self) -> usize {
        0
    }

    fn run_spawned(&self) {}

    fn help(&self) {}

    fn is_current(&self) -> bool {
        false
    }

    fn release(&self) {}

    fn join(&self, _: std::time::Instant) -> bool {
        true
    }
}

/// Writes down what it is given; a lock that loom does not see adds no order to a model.
#[derive(Default)]
struct Record {
    handled: Mutex<Vec<u32>>,
    discarded: Mutex<Vec<u32>>,
    /// The replica has been told that the peer has gone.
    told: Mutex<bool>,
}

impl Handle<u32> for Record {
    fn handle(&self, _: NodeId, message: u32) {
        self.handled.lock().unwrap().push(message);
        // In a step of its own, so that the other thread may have been before.
        thread::yield_now();
        assert!(!*self.told.lock().unwrap(), "it starts after its peer has gone");
    }

    fn discard(&self, message: u32) {
        self.discarded.lock().unwrap().push(message);
    }
}

type ModelCore = Core<u32, Record, Inline>;

fn core(config: FlowConfig) -> Arc<ModelCore> {
    let config = config
        .with_peer_quota(4)
        .with_max_peers(2)
        .with_quantum(Duration::ZERO)
        .with_wait_strategy(WaitStrategy::GiveBack);
    let parts = Parts {
        name: "Model",
        withheld: false,
        tells_losses: true,
        welcomes: Arc::default(),
        panics: Arc::new(PanicLog::new("Model")),
        metrics: Arc::new(FlowMetrics::new(&config)),
        threads: Inline,
        handler: Record::default(),
    };
    let core = Arc::new(Core::new(&config, parts));
    // loom cannot see how arc-swap hands a new lane to another thread.
    for from in [1, 2] {
        core.seat(peer(from)).unwrap();
    }
    core
}

fn peer(number: u8) -> NodeId {
    NodeId::new([number; 32])
}

fn bring_on_a_thread(
    core: &Arc<ModelCore>,
    from: u8,
    message: u32,
) -> thread::JoinHandle<Decision<u32>> {
    let core = Arc::clone(core);
    thread::spawn(move || {
        WORKER.with(|worker| worker.set(1));
        core.bring(peer(from), message, 4, false)
    })
}

fn at_rest(core: &ModelCore, handled: usize) {
    assert_eq!(core.live.load().handler.handled.lock().unwrap().len(), handled);
    assert_eq!(core.metrics.in_flight(), 0);
    assert!(core.claims.are_free());
    for lane in core.peers.iter() {
        assert!(lane.queue.is_empty(), "a message is left");
        assert!(!lane.is_held(), "a worker is left");
    }
}

fn explore(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

#[test]
fn a_message_that_meets_its_lane_leaving_the_set_runs() {
    explore(3, || {
        let core = core(FlowConfig::new(4).with_threads(2));
        let other = bring_on_a_thread(&core, 1, 1);
        let own = core.bring(peer(1), 2, 4, false);
        assert!(matches!((own, other.join().unwrap()), (Decision::Admitted, Decision::Admitted)));
        at_rest(&core, 2);
    });
}

#[test]
fn a_message_that_meets_a_lane_in_order_being_let_go_of_runs() {
    explore(3, || {
        let core = core(FlowConfig::new(4).with_threads(2).with_order(Order::PerPeer));
        let other = bring_on_a_thread(&core, 1, 1);
        let own = core.bring(peer(1), 2, 4, false);
        assert!(matches!((own, other.join().unwrap()), (Decision::Admitted, Decision::Admitted)));
        at_rest(&core, 2);
    });
}

#[test]
fn messages_of_two_lanes_run_whoever_searches() {
    explore(2, || {
        let core = core(FlowConfig::new(4).with_threads(2));
        let other = bring_on_a_thread(&core, 1, 1);
        let own = core.bring(peer(2), 2, 4, false);
        assert!(matches!((own, other.join().unwrap()), (Decision::Admitted, Decision::Admitted)));
        at_rest(&core, 2);
    });
}

#[test]
fn a_message_that_meets_the_end_of_its_lane_runs_in_another() {
    explore(2, || {
        let core = core(FlowConfig::new(4).with_threads(2));
        // Nor how the last to let go of it may drop it.
        let _kept = core.seat(peer(1)).unwrap();
        let other = bring_on_a_thread(&core, 1, 1);
        core.forget(peer(1));
        assert!(matches!(other.join().unwrap(), Decision::Admitted));
        at_rest(&core, 1);
    });
}

#[test]
fn a_message_that_meets_the_end_of_its_flow_runs_or_is_dropped_or_refused() {
    explore(2, || {
        let core = core(FlowConfig::new(4).with_threads(2));
        let other = bring_on_a_thread(&core, 1, 1);
        core.admission.close(&core);
        core.abandon();
        let admitted = matches!(other.join().unwrap(), Decision::Admitted);
        let counts = core.metrics.snapshot();
        assert_eq!(counts.admitted, u64::from(admitted));
        assert_eq!(counts.handled() + counts.ended(Outcome::DroppedAtShutdown), counts.admitted);
        let handled = core.live.load().handler.handled.lock().unwrap().len();
        assert_eq!(
            core.live.load().handler.discarded.lock().unwrap().len() as u64,
            counts.ended(Outcome::DroppedAtShutdown)
        );
        at_rest(&core, handled);
    });
}

#[test]
fn a_message_that_meets_the_going_of_its_peer_runs_before_it_or_not_at_all() {
    explore(3, || {
        // One thread: with more, a job that has just found something fences for its claim as well.
        let core = core(FlowConfig::new(4).with_threads(1));
        // Nor how the last to let go of it may drop it.
        let kept = core.peers.find_or_seat(peer(1), &core.built).unwrap();
        assert_eq!(
            core.admission.enter(&kept, &mut Brought::new(1, Moment::now(), 4), &core),
            Entry::Admitted
        );
        let other = {
            let (core, kept) = (Arc::clone(&core), Arc::clone(&kept));
            thread::spawn(move || {
                WORKER.with(|worker| worker.set(1));
                core.push(&kept, Brought::new(1, Moment::now(), 4));
            })
        };
        // As `cancel` and `outlast` do, without what loom cannot see; one that would wait is no part of this.
        kept.cancel();
        fence(Ordering::SeqCst);
        let is_served = core.metrics.workers.iter().any(|worker| worker.seat() == Some(kept.seat));
        if !is_served {
            *core.live.load().handler.told.lock().unwrap() = true;
        }
        other.join().unwrap();
        let counts = core.metrics.snapshot();
        assert_eq!(counts.handled() + counts.ended(Outcome::Cancelled), 1);
        assert_eq!(core.metrics.in_flight(), 0);
    });
}
