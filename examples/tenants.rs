//! An executor whose threads several tenants share.
//!
//! A message is a closure, and a tenant is a peer. Two tenants submit more than there is time for, and one of them has
//! three times the weight. A third submits a job now and then, which waits for a turn and not for the others' queues.
//!
//! ```text
//! cargo run --release --example tenants
//! ```

#![expect(clippy::disallowed_types, reason = "a program of its own takes the standard library's")]

use std::{
    error::Error,
    io::{Write as _, stdout},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use gossip_engine::{Engine, FlowConfig, FlowWorker, MetricsRegistry, RefusalReason, queue_delay};

/// A tenant and its weight.
const TENANTS: [(&str, u32); 3] = [("gold", 3), ("silver", 1), ("small", 1)];
const JOB_TIME: Duration = Duration::from_micros(100);

type Job = Box<dyn FnOnce() + Send>;

/// Runs closures of tenants.
struct Executor(Engine<&'static str>, Arc<FlowWorker<Job, &'static str>>);

impl Executor {
    fn new(registry: &MetricsRegistry) -> Result<Self, Box<dyn Error>> {
        let mut builder = Engine::builder(registry);
        // One thread, so that there is less time than the tenants want. A tenant has at most 250 jobs under way.
        let config = FlowConfig::new(1_000).with_threads(1);
        let jobs = builder.flow("jobs", config, |_: &&'static str, job: Job| job())?;
        Ok(Self(builder.build()?, jobs))
    }

    /// Waits while the tenant has as many jobs under way as it may. What the job returns comes out of the channel. If
    /// the job panics or is cancelled, the channel is closed.
    fn run<T: Send + 'static>(
        &self,
        tenant: &'static str,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<Receiver<T>, RefusalReason> {
        let (sender, receiver) = sync_channel(1);
        // It does not matter whether anybody still wants to know.
        let job: Job = Box::new(move || drop(sender.send(job())));
        self.1.execute(tenant, job).wait().map_err(|refused| refused.reason)?;
        Ok(receiver)
    }
}

/// What a tenant's jobs have taken, and how long each has waited.
#[derive(Clone, Default)]
struct Account(Arc<Mutex<(Duration, Vec<Duration>)>>);

impl Account {
    /// Keeps the thread for a while.
    fn work(&self) {
        let waited = queue_delay().expect("in a handler");
        let started = Instant::now();
        while started.elapsed() < JOB_TIME {}
        let mut account = self.0.lock().expect("no job panics");
        account.0 += started.elapsed();
        account.1.push(waited);
    }

    /// The time that was used, and the median wait.
    fn figures(&self) -> (Duration, Duration) {
        let (used, mut waits) = self.0.lock().expect("no job panics").clone();
        waits.sort_unstable();
        (used, waits[waits.len() / 2])
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let registry = MetricsRegistry::new();
    let executor = Executor::new(&registry)?;
    for (tenant, weight) in TENANTS {
        assert!(executor.0.set_peer_weight(tenant, weight));
    }
    let accounts = TENANTS.map(|_| Account::default());
    let is_over = AtomicBool::new(false);
    thread::scope(|threads| {
        for ((tenant, _), account) in TENANTS.iter().zip(&accounts).take(2) {
            let (executor, is_over) = (&executor, &is_over);
            threads.spawn(move || {
                // Relaxed: it says nothing about any other memory.
                while !is_over.load(Ordering::Relaxed) {
                    let account = account.clone();
                    executor.run(tenant, move || account.work()).expect("the engine is open");
                }
            });
        }
        for _ in 0..200 {
            let account = accounts[2].clone();
            let job = executor.run("small", move || account.work()).expect("the engine is open");
            job.recv().expect("it does not panic");
            thread::sleep(JOB_TIME);
        }
        is_over.store(true, Ordering::Relaxed);
    });
    let figures = accounts.map(|account| account.figures());
    for ((tenant, weight), (used, wait)) in TENANTS.iter().zip(figures) {
        writeln!(stdout(), "{tenant}, weight {weight}: used {used:?}, a job waits {wait:?}")?;
    }
    let [(gold, _), (silver, silver_wait), (_, small_wait)] = figures;
    // The system may stop the thread in anybody's turn, so not quite three times.
    assert!(gold.as_secs_f64() > 1.5 * silver.as_secs_f64(), "the shares go by weight");
    assert!(small_wait * 10 < silver_wait, "a turn is shorter than a queue");
    assert!(executor.0.shutdown(Duration::from_secs(10)).is_clean());
    registry.snapshot().verify()?;
    Ok(())
}
