//! The core on a seam that runs jobs when the test says so, on the test's own thread.
#![expect(clippy::disallowed_types, reason = "a test's own bookkeeping")]

use std::sync::Mutex;

use super::*;
use crate::{RefusalReason, flow_worker::permits::Attempt};

/// Keeps the jobs until the test runs them.
#[derive(Default)]
struct Later {
    jobs: Mutex<Vec<Arc<dyn Job>>>,
}

impl Later {
    fn len(&self) -> usize {
        self.jobs.lock().unwrap().len()
    }

    fn run_all(&self) {
        while let Some(job) = { self.jobs.lock().unwrap().pop() } {
            job.run();
        }
    }
}

impl Spawn for Later {
    fn spawn(&self, job: Arc<dyn Job>) -> bool {
        self.jobs.lock().unwrap().push(job);
        true
    }
}

/// A seam whose threads have gone.
struct Gone;

impl Spawn for Gone {
    fn spawn(&self, _: Arc<dyn Job>) -> bool {
        false
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

fn core(limit: usize, workers: usize, withheld: bool) -> (Arc<Core<u32, Record>>, Record) {
    let record = Record::default();
    let config = FlowConfig::new(limit);
    let metrics = Arc::new(FlowMetrics::new(workers));
    (Arc::new(Core::new("Test", &config, workers, withheld, metrics, record.clone())), record)
}

fn submit(core: &Arc<Core<u32, Record>>, spawn: &dyn Spawn, message: u32) {
    assert_eq!(core.permits.try_acquire(), Attempt::Acquired);
    core.push(spawn, message, Instant::now());
}

fn submit_all(
    core: &Arc<Core<u32, Record>>,
    spawn: &dyn Spawn,
    messages: impl IntoIterator<Item = u32>,
) {
    messages.into_iter().for_each(|message| submit(core, spawn, message));
}

#[test]
fn a_burst_wakes_as_many_jobs_as_there_are_workers_and_each_message_runs_once() {
    let (core, record) = core(100, 2, false);
    let later = Later::default();
    submit_all(&core, &later, 20..70);
    assert_eq!(later.len(), 2);
    later.run_all();
    assert_eq!(record.0.lock().unwrap().handled.len(), 50);
    assert_eq!(core.permits.in_flight(), 0);
    // The claims are free again: the next message wakes a job.
    submit(&core, &later, 1);
    assert_eq!(later.len(), 1);
}

#[test]
fn messages_of_one_worker_run_in_order() {
    let (core, record) = core(100, 1, false);
    let later = Later::default();
    submit_all(&core, &later, 20..40);
    later.run_all();
    assert_eq!(record.0.lock().unwrap().handled, (20..40).collect::<Vec<_>>());
}

#[test]
fn a_panic_is_counted_and_returns_its_permit() {
    let (core, record) = core(3, 1, false);
    let later = Later::default();
    submit_all(&core, &later, [1, 13, 2]);
    later.run_all();
    assert_eq!(record.0.lock().unwrap().handled, [1, 2]);
    let counts = core.metrics.snapshot(Some(&*core as &dyn FlowLoad));
    assert_eq!((counts.admitted, counts.handled, counts.panicked), (3, 2, 1));
    assert_eq!((counts.in_flight, counts.wait.count(), counts.service.count()), (0, 3, 3));
}

#[test]
fn what_is_withheld_runs_when_it_is_opened() {
    let (core, record) = core(10, 1, true);
    let later = Later::default();
    submit_all(&core, &later, [1, 2, 3]);
    assert_eq!(later.len(), 0);
    core.open(&later);
    assert_eq!(later.len(), 1);
    later.run_all();
    submit(&core, &later, 4);
    later.run_all();
    assert_eq!(record.0.lock().unwrap().handled, [1, 2, 3, 4]);
}

#[test]
fn what_is_abandoned_is_dropped_and_counted_and_nothing_starts_later() {
    let (core, record) = core(10, 1, false);
    let later = Later::default();
    submit_all(&core, &later, [1, 2]);
    // A straggler: it has its permit, but has not been pushed.
    assert_eq!(core.permits.try_acquire(), Attempt::Acquired);
    core.permits.close();
    assert_eq!(core.abandon(), 2);
    assert_eq!(core.permits.in_flight(), 1);
    core.push(&Gone, 3, Instant::now());
    later.run_all();
    core.push_if_room(4);
    let seen = record.0.lock().unwrap();
    assert_eq!((&*seen.handled, &*seen.discarded), ([].as_slice(), [1, 2, 3].as_slice()));
    let counts = core.metrics.snapshot(Some(&*core as &dyn FlowLoad));
    assert_eq!((counts.admitted, counts.dropped, counts.in_flight), (3, 3, 0));
}

impl Core<u32, Record> {
    fn push_if_room(self: &Arc<Self>, message: u32) {
        assert_eq!(self.permits.try_acquire(), Attempt::Closed, "message {message}");
        assert_eq!(self.permits.join().err(), Some(RefusalReason::Closed));
    }
}

#[test]
fn what_never_ran_is_discarded_with_the_core() {
    let (core, record) = core(10, 1, true);
    let metrics = Arc::clone(&core.metrics);
    submit_all(&core, &Later::default(), [5, 6]);
    drop(core);
    assert_eq!(record.0.lock().unwrap().discarded, [5, 6]);
    assert_eq!(metrics.snapshot(None).dropped, 2);
}

#[test]
fn a_nested_job_runs_one_message_and_passes_the_rest_on() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let (core, record) = core(10, 1, false);
    let later = Later::default();
    submit_all(&core, &later, [1, 2, 3]);
    let job = later.jobs.lock().unwrap().pop().unwrap();
    pool.install(|| {
        DRAINING.set(true);
        job.run();
        assert_eq!(record.0.lock().unwrap().handled, [1]);
        DRAINING.set(false);
        // The rest is with a job of its own now.
        while record.0.lock().unwrap().handled.len() < 3 {
            rayon::yield_now();
        }
    });
    assert_eq!(core.permits.in_flight(), 0);
}

#[test]
fn the_last_permit_ends_the_wait_for_it() {
    let (core, _) = core(1, 1, false);
    let later = Later::default();
    submit(&core, &later, 1);
    core.permits.close();
    assert!(!core.wait_for_last(0, Instant::now()));
    assert!(core.wait_for_last(1, Instant::now()));
    std::thread::scope(|scope| {
        let waiter =
            scope.spawn(|| core.wait_for_last(0, Instant::now() + Duration::from_secs(60)));
        later.run_all();
        assert!(waiter.join().unwrap());
    });
}
