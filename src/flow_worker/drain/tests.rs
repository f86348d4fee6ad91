//! The core on a seam that runs jobs when the test says so, on the test's own thread.
#![expect(clippy::disallowed_types, reason = "a test's own bookkeeping")]

use std::{sync::Mutex, time::Instant};

use super::{message::HANDLERS, *};
use crate::{
    FlowConfig, NodeId, Outcome, RefusalReason, WaitStrategy,
    flow_worker::{
        admission::{Admit, Entry},
        brought::Decision,
        core::Parts,
    },
    metrics::FlowMetrics,
    panics::PanicLog,
};

mod late;

type TestCore<S = Later> = Core<u32, Record, S>;

const PEER: NodeId = NodeId::new([1; 32]);

/// Keeps the jobs until the test runs them, and may lose its threads.
#[derive(Default)]
struct Later {
    jobs: Mutex<Vec<Arc<dyn Job>>>,
    offers: Mutex<Vec<Arc<dyn Job>>>,
    gone: Mutex<bool>,
    depth: Mutex<usize>,
}

impl Later {
    fn len(&self) -> usize {
        self.jobs.lock().unwrap().len()
    }

    /// Runs the jobs, without what is on offer.
    fn run_spawned(&self) {
        while let Some(job) = { self.jobs.lock().unwrap().pop() } {
            job.run();
        }
    }

    /// Runs the jobs, and what they offer when a slow machine ends their quantum.
    fn run_all(&self) {
        self.run_spawned();
        while let Some(job) = { self.offers.lock().unwrap().pop() } {
            job.run_if_needed();
        }
    }
}

impl Spawn for Later {
    fn spawn(&self, job: Arc<dyn Job>) -> bool {
        let here = !*self.gone.lock().unwrap();
        if here {
            self.jobs.lock().unwrap().push(job);
        }
        here
    }

    fn offer(&self, job: Arc<dyn Job>) -> bool {
        self.offers.lock().unwrap().push(job);
        true
    }

    fn worker(&self) -> usize {
        0
    }

    fn alive(&self) -> usize {
        0
    }

    fn stack_depth(&self) -> usize {
        *self.depth.lock().unwrap()
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

#[derive(Debug, Default)]
struct Seen {
    handled: Vec<u32>,
    discarded: Vec<u32>,
}

#[derive(Clone, Default)]
struct Record(Arc<Mutex<Seen>>);

impl Handle<u32> for Record {
    fn handle(&self, _: NodeId, message: u32) {
        assert!(message != 13, "on purpose");
        self.0.lock().unwrap().handled.push(message);
    }

    fn discard(&self, message: u32) {
        self.0.lock().unwrap().discarded.push(message);
    }
}

fn build<H: Handle<u32>>(
    config: FlowConfig,
    withheld: bool,
    handler: H,
) -> Arc<Core<u32, H, Later>> {
    let limit = config.max_inflight_requests();
    let config = config.with_peer_quota(limit).with_wait_strategy(WaitStrategy::GiveBack);
    let parts = Parts {
        name: "Test",
        withheld,
        tells_losses: true,
        welcomes: Arc::default(),
        panics: Arc::new(PanicLog::new("Test")),
        metrics: Arc::new(FlowMetrics::new(&config)),
        threads: Later::default(),
        handler,
    };
    Arc::new(Core::new(&config, parts))
}

fn core(limit: usize, workers: usize, withheld: bool) -> (Arc<TestCore>, Record) {
    let record = Record::default();
    let config = FlowConfig::new(limit).with_threads(workers);
    (build(config, withheld, record.clone()), record)
}

fn submit<H: Handle<u32>>(core: &Arc<Core<u32, H, Later>>, message: u32) {
    assert!(matches!(core.bring(PEER, message, 4, false), Decision::Admitted));
}

fn submit_all(core: &Arc<TestCore>, messages: impl IntoIterator<Item = u32>) {
    messages.into_iter().for_each(|message| submit(core, message));
}

#[test]
fn a_burst_wakes_one_job_which_wakes_another_and_each_message_runs_once() {
    let (core, record) = core(100, 2, false);
    submit_all(&core, 20..70);
    // The one that searches will find them all.
    assert_eq!(core.threads.len(), 1);
    let first = core.threads.jobs.lock().unwrap().pop().unwrap();
    first.run();
    // It has found one, and then that there is more.
    assert_eq!(core.threads.len(), 1);
    core.threads.run_all();
    assert_eq!(record.0.lock().unwrap().handled.len(), 50);
    assert!(core.metrics.in_flight() == 0 && core.claims.are_free());
    // The claims are free again: the next message wakes a job.
    submit(&core, 1);
    assert_eq!(core.threads.len(), 1);
}

#[test]
fn messages_of_one_worker_run_in_order() {
    let (core, record) = core(100, 1, false);
    submit_all(&core, 20..40);
    core.threads.run_all();
    assert_eq!(record.0.lock().unwrap().handled, (20..40).collect::<Vec<_>>());
}

#[test]
fn a_panic_is_counted_and_returns_its_permit() {
    let (core, record) = core(3, 1, false);
    submit_all(&core, [1, 13, 2]);
    core.threads.run_all();
    assert_eq!(record.0.lock().unwrap().handled, [1, 2]);
    let counts = core.metrics.snapshot();
    assert_eq!((counts.admitted, counts.handled(), counts.panicked()), (3, 2, 1));
    assert_eq!((counts.in_flight, counts.wait.count(), counts.service.count()), (0, 3, 3));
}

#[test]
fn a_small_flow_that_was_full_once_says_so_although_nobody_looked_then() {
    let (core, _) = core(3, 1, false);
    submit_all(&core, [1, 2, 3]);
    assert!(matches!(core.bring(PEER, 4, 4, false), Decision::Refused(4, RefusalReason::Full)));
    core.threads.run_all();
    let counts = core.metrics.snapshot();
    assert_eq!((counts.in_flight, counts.high_water), (0, 3));
}

#[test]
fn what_is_withheld_runs_when_it_is_opened() {
    let (core, record) = core(10, 1, true);
    submit_all(&core, [1, 2, 3]);
    assert_eq!(core.threads.len(), 0);
    core.open();
    assert_eq!(core.threads.len(), 1);
    core.threads.run_all();
    submit(&core, 4);
    core.threads.run_all();
    assert_eq!(record.0.lock().unwrap().handled, [1, 2, 3, 4]);
}

#[test]
fn what_is_abandoned_is_dropped_and_counted_and_nothing_starts_later() {
    let (core, record) = core(10, 1, false);
    submit_all(&core, [1, 2]);
    // A straggler: it has been admitted, but not been pushed.
    let mut brought = Brought::new(3, Moment::now(), 4);
    let lane = core.peers.iter().next().unwrap();
    assert_eq!(core.admission.enter(&lane, &mut brought, &core), Entry::Admitted);
    core.admission.close(&core);
    assert_eq!(core.abandon(), 2);
    assert_eq!(core.metrics.in_flight(), 1);
    core.threads.run_all();
    *core.threads.gone.lock().unwrap() = true;
    core.admit(&lane, brought);
    for may_wait in [false, true] {
        let outcome = core.bring(PEER, 4, 4, may_wait);
        assert!(matches!(outcome, Decision::Refused(4, RefusalReason::Closed)));
    }
    let seen = record.0.lock().unwrap();
    assert_eq!((&*seen.handled, &*seen.discarded), ([].as_slice(), [1, 2, 3].as_slice()));
    let counts = core.metrics.snapshot();
    assert_eq!(
        (counts.admitted, counts.count(Outcome::DroppedAtShutdown), counts.in_flight),
        (3, 3, 0)
    );
}

#[test]
fn what_never_ran_is_discarded_with_the_core() {
    let (core, record) = core(10, 1, true);
    let metrics = Arc::clone(&core.metrics);
    submit_all(&core, [5, 6]);
    drop(core);
    assert_eq!(record.0.lock().unwrap().discarded, [5, 6]);
    assert_eq!(metrics.snapshot().count(Outcome::DroppedAtShutdown), 2);
}

#[test]
fn on_top_of_a_handler_a_job_passes_its_claim_on_and_an_offer_is_declined() {
    let (core, record) = core(10, 1, false);
    submit_all(&core, [1, 2, 3]);
    HANDLERS.set(1);
    core.threads.run_spawned();
    let offer = core.threads.offers.lock().unwrap().pop().expect("the rest is on offer");
    Arc::clone(&offer).run_if_needed();
    assert!(record.0.lock().unwrap().handled.is_empty());
    HANDLERS.set(0);
    // The claim is free for whoever accepts.
    offer.run_if_needed();
    assert_eq!(record.0.lock().unwrap().handled, [1, 2, 3]);
    assert_eq!(core.metrics.in_flight(), 0);
}

#[test]
fn an_offer_that_comes_too_late_does_nothing() {
    let (core, record) = core(10, 1, false);
    Arc::clone(&core).run_if_needed();
    submit(&core, 1);
    // The only claim is taken by the job that was spawned for it.
    Arc::clone(&core).run_if_needed();
    assert!(record.0.lock().unwrap().handled.is_empty());
    core.threads.run_all();
    assert_eq!(record.0.lock().unwrap().handled, [1]);
}

#[test]
fn a_job_on_top_of_something_offers_the_rest_after_its_shift() {
    struct Slow;
    impl Handle<u32> for Slow {
        fn handle(&self, _: NodeId, _: u32) {
            let end = Instant::now() + SHIFT;
            while Instant::now() < end {}
        }
    }
    let core = build(FlowConfig::new(10).with_threads(1), false, Slow);
    // One at the bottom of its stack goes on to the end.
    submit(&core, 0);
    submit(&core, 1);
    core.threads.run_spawned();
    assert_eq!((core.metrics.in_flight(), core.threads.offers.lock().unwrap().len()), (0, 0));
    *core.threads.depth.lock().unwrap() = 1;
    (0..3).for_each(|message| submit(&core, message));
    core.threads.run_spawned();
    assert_eq!((core.metrics.in_flight(), core.threads.offers.lock().unwrap().len()), (2, 1));
    let offer = core.threads.offers.lock().unwrap().pop().unwrap();
    offer.run_if_needed();
    assert_eq!((core.metrics.in_flight(), core.threads.offers.lock().unwrap().len()), (1, 1));
}

#[test]
fn a_lane_in_order_has_one_worker_at_a_time_and_keeps_its_turn_in_the_set() {
    let record = Record::default();
    let config = FlowConfig::new(10).with_threads(2).with_order(Order::PerPeer);
    let core = build(config, false, record.clone());
    submit_all(&core, [1, 2]);
    let lane = core.peers.iter().next().unwrap();
    assert!(lane.hold());
    core.threads.run_all();
    assert!(record.0.lock().unwrap().handled.is_empty());
    // The holder lets go, and looks at the queue once more.
    lane.release();
    core.look_again(&lane);
    core.threads.run_all();
    assert_eq!(record.0.lock().unwrap().handled, [1, 2]);
    assert!(core.metrics.in_flight() == 0 && core.claims.are_free() && core.ready.is_empty());
}

#[test]
fn a_trickle_of_messages_wakes_one_job_for_each_and_no_more() {
    let (core, record) = core(10, 3, false);
    for message in 20..30 {
        submit(&core, message);
        assert_eq!(core.threads.len(), 1);
        core.threads.run_all();
    }
    assert_eq!(record.0.lock().unwrap().handled.len(), 10);
}
