//! The core on a seam that runs jobs when the test says so, on the test's own thread.
#![expect(clippy::disallowed_types, reason = "a test's own bookkeeping")]

use std::sync::Mutex;

use super::*;
use crate::{RefusalReason, flow_worker::permits::Attempt};

type TestCore<S = Later> = Core<u32, Record, S>;

/// Keeps the jobs until the test runs them, and may lose its threads.
#[derive(Default)]
struct Later {
    jobs: Mutex<Vec<Arc<dyn Job>>>,
    offers: Mutex<Vec<Arc<dyn Job>>>,
    gone: Mutex<bool>,
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
}

#[derive(Debug, Default)]
struct Seen {
    handled: Vec<u32>,
    discarded: Vec<u32>,
}

#[derive(Clone, Default)]
struct Record(Arc<Mutex<Seen>>);

impl Handle<u32> for Record {
    fn handle(&self, message: u32) {
        assert!(message != 13, "on purpose");
        self.0.lock().unwrap().handled.push(message);
    }

    fn discard(&self, message: u32) {
        self.0.lock().unwrap().discarded.push(message);
    }
}

fn core(limit: usize, workers: usize, withheld: bool) -> (Arc<TestCore>, Record) {
    let record = Record::default();
    let setup = Setup { name: "Test", workers, withheld };
    let metrics = Arc::new(FlowMetrics::new(workers));
    let panics = Arc::new(PanicLog::new("Test"));
    let config = FlowConfig::new(limit);
    let core = Core::new(setup, &config, metrics, panics, Later::default(), record.clone());
    (Arc::new(core), record)
}

fn bring(message: u32) -> Brought<u32> {
    Brought { message, arrived: Instant::now() }
}

fn submit(core: &Arc<TestCore>, message: u32) {
    assert_eq!(core.permits.try_acquire(), Attempt::Acquired);
    core.push(bring(message));
}

fn submit_all(core: &Arc<TestCore>, messages: impl IntoIterator<Item = u32>) {
    messages.into_iter().for_each(|message| submit(core, message));
}

#[test]
fn a_burst_wakes_as_many_jobs_as_there_are_workers_and_each_message_runs_once() {
    let (core, record) = core(100, 2, false);
    submit_all(&core, 20..70);
    assert_eq!(core.threads.len(), 2);
    core.threads.run_all();
    assert_eq!(record.0.lock().unwrap().handled.len(), 50);
    assert_eq!(core.permits.in_flight(), 0);
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
    let counts = core.metrics.snapshot(Some(&*core as &dyn FlowLoad));
    assert_eq!((counts.admitted, counts.handled, counts.panicked), (3, 2, 1));
    assert_eq!((counts.in_flight, counts.wait.count(), counts.service.count()), (0, 3, 3));
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
    // A straggler: it has its permit, but has not been pushed.
    assert_eq!(core.permits.try_acquire(), Attempt::Acquired);
    core.permits.close(&core);
    assert_eq!(core.abandon(), 2);
    assert_eq!(core.permits.in_flight(), 1);
    core.threads.run_all();
    *core.threads.gone.lock().unwrap() = true;
    core.push(bring(3));
    assert_eq!(core.permits.try_acquire(), Attempt::Closed);
    let refused = core.permits.join(bring(4), &core).err();
    assert_eq!(refused.map(|(_, reason)| reason), Some(RefusalReason::Closed));
    let seen = record.0.lock().unwrap();
    assert_eq!((&*seen.handled, &*seen.discarded), ([].as_slice(), [1, 2, 3].as_slice()));
    let counts = core.metrics.snapshot(Some(&*core as &dyn FlowLoad));
    assert_eq!((counts.admitted, counts.dropped, counts.in_flight), (3, 3, 0));
}

#[test]
fn what_never_ran_is_discarded_with_the_core() {
    let (core, record) = core(10, 1, true);
    let metrics = Arc::clone(&core.metrics);
    submit_all(&core, [5, 6]);
    drop(core);
    assert_eq!(record.0.lock().unwrap().discarded, [5, 6]);
    assert_eq!(metrics.snapshot(None).dropped, 2);
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
    assert_eq!(core.permits.in_flight(), 0);
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
fn a_job_whose_quantum_is_over_offers_the_rest() {
    struct Slow;
    impl Handle<u32> for Slow {
        fn handle(&self, _: u32) {
            let end = Instant::now() + QUANTUM;
            while Instant::now() < end {}
        }
    }
    let setup = Setup { name: "Test", workers: 1, withheld: false };
    let metrics = Arc::new(FlowMetrics::new(1));
    let panics = Arc::new(PanicLog::new("Test"));
    let config = FlowConfig::new(10);
    let core = Arc::new(Core::new(setup, &config, metrics, panics, Later::default(), Slow));
    for message in 0..3 {
        assert_eq!(core.permits.try_acquire(), Attempt::Acquired);
        core.push(bring(message));
    }
    core.threads.run_spawned();
    assert_eq!((core.permits.in_flight(), core.threads.offers.lock().unwrap().len()), (2, 1));
    let offer = core.threads.offers.lock().unwrap().pop().unwrap();
    offer.run_if_needed();
    assert_eq!((core.permits.in_flight(), core.threads.offers.lock().unwrap().len()), (1, 1));
}

#[test]
fn the_last_permit_ends_the_wait_for_it() {
    let (core, _) = core(1, 1, false);
    submit(&core, 1);
    core.permits.close(&core);
    assert!(!core.permits.wait_for_last(0, Instant::now()));
    assert!(core.permits.wait_for_last(1, Instant::now()));
    let limit = Instant::now() + Duration::from_secs(60);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| core.permits.wait_for_last(0, limit));
        core.threads.run_all();
        assert!(waiter.join().unwrap());
    });
}
