//! The simulation for a replica's own tests: its public face.

use std::{
    future::{Future, poll_fn},
    mem,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    task::Poll,
    time::Duration,
};

use super::{
    clock,
    random::seeds as seeds_of,
    steps::{self, State, Stepping, step},
    tasks::MAX_TASKS,
    threads::{self, Running},
};
use crate::panics::text;

/// A run that takes more steps than this counts as one without an end.
const MAX_STEPS: usize = 1_000_000;

/// A future that may be dropped is dropped once in so many times that it is pending.
const DROPPED_ONE_IN: usize = 8;

/// Runs engines on the calling thread, in schedules that a seed determines: for a replica's own tests.
///
/// An [`Engine`](crate::Engine), a [`FlowWorker`](crate::FlowWorker), an
/// [`AsyncTransportEventHandlerImpl`](crate::AsyncTransportEventHandlerImpl), an
/// [`AdvertBroadcaster`](crate::AdvertBroadcaster) or a [`P2PThreadJoiner`](crate::P2PThreadJoiner) that is built in a
/// simulation has no threads. The simulation does what its threads would do, one message at a time, and the seed says
/// who goes next. Time is virtual. The same seed makes the same run, so a fault that one run in a thousand has can be
/// found, and repeated.
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use gossip_engine::{Engine, FlowConfig, MetricsRegistry, Outcome, Simulation};
///
/// Simulation::for_each_seed(0..100, |simulation| {
///     let registry = MetricsRegistry::new();
///     let mut builder = Engine::<&str>::builder(&registry);
///     // So few that the peer has to wait, and has some dropped that are too old.
///     let config = FlowConfig::new(1 + simulation.pick(3)).with_max_age(Some(Duration::from_millis(1)));
///     let votes = builder.flow("votes", config, move |_: &&str, _: u32| {
///         // It takes so long, and others run meanwhile.
///         simulation.advance(Duration::from_micros(400));
///     }).expect("it is in range");
///     let engine = builder.build().expect("it is in range");
///
///     let (peers, flow) = (engine.clone(), Arc::clone(&votes));
///     let connection = simulation.may_drop(async move {
///         let peer = peers.connect("bern").await.expect("the engine is open");
///         for vote in 0..10 {
///             // Each once or twice.
///             for _ in 0..=simulation.pick(2) {
///                 flow.execute(peer.id(), vote).await.expect("the flow is open");
///             }
///             simulation.pause().await;
///         }
///     });
///     simulation.spawn(async move { drop(connection.await) });
///     assert_eq!(simulation.run_until_idle(), 0, "a task waits for ever");
///     assert!(engine.shutdown(Duration::from_secs(1)).is_clean());
///     let counts = votes.snapshot();
///     assert_eq!(
///         counts.admitted,
///         counts.handled() + counts.count(Outcome::Expired) + counts.count(Outcome::Cancelled)
///     );
/// });
/// ```
///
/// A `Simulation` is a handle, which handlers and tasks may copy. It works only on the thread of its run, and until the
/// run ends.
///
/// # What the seed says
///
/// - Which worker that has something to do runs its next message, and which [task](Self::spawn) goes on.
/// - What others do while a handler [takes its time](Self::advance).
/// - When a future is dropped that [may be](Self::may_drop): a connection that breaks, with what waits on its behalf.
/// - What the test [asks](Self::pick) it: how small the bounds are, which message comes twice, which handler panics.
///
/// # What it does not do
///
/// - A handler is interrupted only where it lets time pass. One that never does is one step. Others that run meanwhile
///   return before it goes on. So a handler must hold no lock that they take while it lets time pass: they would wait
///   for ever.
/// - `on_peer_down` waits up to 0.1 s for a handler of its peer. If it is called while such a handler lets time pass,
///   the handler cannot return before it, and counts as one that takes longer.
/// - It interleaves whole steps and nothing smaller. To test atomics in a handler, use loom.
/// - A seed does not repeat what depends on the system: its clock, or the order in which a `HashMap` is walked.
/// - Threads that a handler starts, and what it gives to rayon, are real, and the seed knows nothing of them.
///
/// An engine that was built outside of a simulation must not be used in one. It has real threads and another time.
///
/// # For tests only
///
/// The feature `test-util` belongs in `[dev-dependencies]`. Outside of a simulation it leaves threads and time real. It
/// costs a look at a thread-local cell at each reading of the engine's clock, two for a message. Without the feature
/// nothing of this is compiled.
///
/// # Panics
///
/// A panic of a handler is contained and counted, as always: a handler that checks something notes what it finds, or
/// the test looks at the counts. A panic of a task fails the run. Each method but [`run`](Self::run) and
/// [`for_each_seed`](Self::for_each_seed) panics after the run's end and on another thread.
#[derive(Clone, Copy, Debug)]
pub struct Simulation {
    number: u64,
    seed: u64,
}

impl Simulation {
    /// Runs a test once. What has not run when the test returns is dropped.
    ///
    /// # Panics
    ///
    /// If the test or a task does, and if a simulation runs on this thread already. What is left of a run that has
    /// panicked is leaked: it could fail again.
    pub fn run<R>(seed: u64, test: impl FnOnce(Self) -> R) -> R {
        let running = Running::begin();
        let number = threads::simulation().expect("it has begun");
        let stepping = Stepping::begin(seed);
        let result = test(Self { number, seed });
        steps::raise();
        // While there is a simulation: what they hold may be connections, and ask for it.
        drop(steps::state(|state| mem::take(&mut state.tasks)));
        drop(stepping);
        drop(running);
        result
    }

    /// Runs a test with each of these seeds, until one fails. With `GOSSIP_SIMULATION_SEED=N` in the environment it
    /// runs seed N alone, with `GOSSIP_SIMULATION_SEEDS=N` it runs N seeds.
    ///
    /// # Panics
    ///
    /// As [`run`](Self::run) does; the text names the seed and how to repeat it. Also if a variable is no number.
    #[track_caller]
    pub fn for_each_seed(seeds: Range<u64>, mut test: impl FnMut(Self)) {
        for seed in seeds_of(seeds) {
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| Self::run(seed, &mut test))) {
                let what = text(payload.as_ref());
                panic!("seed {seed}: {what}; GOSSIP_SIMULATION_SEED={seed} repeats it");
            }
        }
    }

    /// The seed of this run.
    #[must_use]
    pub fn seed(self) -> u64 {
        self.seed
    }

    /// The time since the run began. Nothing but [`advance`](Self::advance) lets much of it pass: each reading of the
    /// engine's clock takes 0.5 µs, so a message takes some microseconds.
    #[must_use]
    pub fn now(self) -> Duration {
        self.assert_runs();
        clock::now()
    }

    /// One of so many, from 0 on, as the seed says.
    ///
    /// # Panics
    ///
    /// If there is none to pick.
    #[must_use]
    pub fn pick(self, count: usize) -> usize {
        assert!(count > 0, "there is none to pick");
        self.state(|state| state.random.below(count))
    }

    /// Adds a task: a future that is polled when it has been woken and its turn comes. Its first poll waits for a turn,
    /// too. A task goes on until it is pending. To let others go before that, it [pauses](Self::pause). Up to 10 000
    /// tasks may be there at once.
    ///
    /// # Panics
    ///
    /// If there are too many.
    pub fn spawn(self, task: impl Future<Output = ()> + 'static) {
        // What panics here drops the task, so it is not under the state's borrow.
        let count = self.state(|state| state.tasks.count());
        assert!(count < MAX_TASKS, "{MAX_TASKS} tasks have not ended");
        let task = Box::pin(task);
        steps::state(|state| state.tasks.spawn(task));
    }

    /// Resolves when the task's turn comes again. Others may go on in between.
    pub fn pause(self) -> impl Future<Output = ()> {
        let mut has_paused = false;
        poll_fn(move |context| {
            if mem::replace(&mut has_paused, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
    }

    /// Resolves as the future does, or to `None` when the seed has dropped the future. That happens once in eight times
    /// that it is pending, some steps later. To break connections, wrap the future that serves one and owns its
    /// [`Connection`](crate::Connection).
    ///
    /// # Panics
    ///
    /// If it is polled again after it has resolved.
    pub fn may_drop<F: Future>(self, future: F) -> impl Future<Output = Option<F::Output>> {
        let mut future = Some(Box::pin(future));
        let mut is_doomed = false;
        poll_fn(move |context| {
            if is_doomed {
                future = None;
                return Poll::Ready(None);
            }
            let pending = future.as_mut().expect("polled after it had resolved");
            if let Poll::Ready(output) = pending.as_mut().poll(context) {
                future = None;
                return Poll::Ready(Some(output));
            }
            is_doomed = self.pick(DROPPED_ONE_IN) == 0;
            if is_doomed {
                context.waker().wake_by_ref();
            }
            Poll::Pending
        })
    }

    /// Lets time pass: any duration. It stops for what is to be done meanwhile, at each
    /// [`WATCH_PERIOD`](crate::WATCH_PERIOD) for instance, so a simulated hour is 72 000 looks.
    ///
    /// In a handler or a task it is the time that this takes. The seed says which others run meanwhile, at most four on
    /// top of each other. Elsewhere all run that can, as by [`run_until_idle`](Self::run_until_idle), before and after
    /// each step of time: messages get too old, drops are noticed, the timer calls.
    ///
    /// # Panics
    ///
    /// As [`run_until_idle`](Self::run_until_idle) does, outside of handlers and tasks.
    pub fn advance(self, duration: Duration) {
        let depth = self.state(|state| state.depth);
        let until = clock::now().saturating_add(duration);
        if depth > 0 {
            steps::take_until(until);
            return;
        }
        // Ends: time goes on each time.
        loop {
            self.run_until_idle();
            if clock::now() >= until {
                return;
            }
            steps::pass_until(until);
        }
    }

    /// Runs what can without waiting for time to pass; returns how many [tasks](Self::spawn) have not ended: those that
    /// wait for time, for something that the test has yet to do, or for ever.
    ///
    /// # Panics
    ///
    /// If a task panics, if this is called in a handler or a task, and if there is no end after a million steps.
    pub fn run_until_idle(self) -> usize {
        assert_eq!(self.state(|state| state.depth), 0, "called in a handler or a task");
        for _ in 0..MAX_STEPS {
            let is_idle = !step();
            steps::raise();
            if is_idle {
                return steps::state(|state| state.tasks.count());
            }
        }
        panic!("there is no end after {MAX_STEPS} steps");
    }

    fn assert_runs(self) {
        let runs = threads::simulation() == Some(self.number);
        assert!(runs, "the simulation has ended, or is that of another thread");
    }

    fn state<R>(self, use_it: impl FnOnce(&mut State) -> R) -> R {
        self.assert_runs();
        steps::state(use_it)
    }
}

#[cfg(test)]
mod tests;
