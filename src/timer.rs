//! The replica's clock: a thread that calls `on_gossip_timer`.
//!
//! The thread sleeps in a receive with a timeout on a channel that carries nothing; the joiner owns
//! the sending end, so that dropping it wakes the thread at once.

use std::{
    convert::Infallible,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, bounded};

use crate::{BuildError, Gossip, MetricsRegistry, panics::PanicLog};

/// Milliseconds between two calls of `on_gossip_timer`. From the Internet Computer's P2P.
pub const P2P_TIMER_DURATION_MS: u64 = 100;

/// The replica's timer: calls `on_gossip_timer` at a fixed period, on a thread of its own (`P2P_OnTimer_Thread`).
///
/// The first call comes one period after the start. After a call that overran, the next one follows at once and the
/// period counts from it; missed ticks are skipped. A call that panics is caught and counted, and the clock goes on.
/// The log names at most one panic a second.
///
/// Dropping the joiner wakes the thread at once and waits, without a deadline, for a call that is running: a callback
/// that never returns blocks the drop for ever. Dropped from inside the callback, the joiner does not wait: the thread
/// ends when the callback returns.
pub struct P2PThreadJoiner {
    /// A simulation has no thread to wait for.
    running: Option<(Sender<Infallible>, Option<JoinHandle<()>>)>,
}

impl P2PThreadJoiner {
    /// Starts the clock with a period of [`P2P_TIMER_DURATION_MS`].
    ///
    /// # Errors
    ///
    /// [`BuildError::TimerThread`] if the system gives no thread.
    pub fn new<G>(metrics_registry: &MetricsRegistry, gossip: Arc<G>) -> Result<Self, BuildError>
    where
        G: Gossip + ?Sized,
    {
        Self::with_period(metrics_registry, gossip, Duration::from_millis(P2P_TIMER_DURATION_MS))
    }

    /// Starts the clock with another period, above zero. If a period is too long for the system's clock, the callback
    /// is never called.
    ///
    /// # Errors
    ///
    /// [`BuildError::ZeroPeriod`] if `period` is zero, [`BuildError::TimerThread`] if the system
    /// gives no thread.
    pub fn with_period<G>(
        metrics_registry: &MetricsRegistry,
        gossip: Arc<G>,
        period: Duration,
    ) -> Result<Self, BuildError>
    where
        G: Gossip + ?Sized,
    {
        if period.is_zero() {
            return Err(BuildError::ZeroPeriod);
        }
        let (keep_running, stop) = bounded(0);
        let metrics = metrics_registry.clone();
        if crate::testing::is_on() {
            let panics = PanicLog::new("timer");
            crate::testing::watch(period, move || {
                let runs = stop.try_recv() == Err(TryRecvError::Empty);
                if runs {
                    call(&*gossip, &metrics, &panics);
                }
                runs
            });
            return Ok(Self { running: Some((keep_running, None)) });
        }
        let thread = std::thread::Builder::new()
            .name("P2P_OnTimer_Thread".to_owned())
            .spawn(move || tick(&*gossip, period, &stop, &metrics))
            .map_err(BuildError::TimerThread)?;
        Ok(Self { running: Some((keep_running, Some(thread))) })
    }
}

fn tick<G: Gossip + ?Sized>(
    gossip: &G,
    period: Duration,
    stop: &Receiver<Infallible>,
    metrics: &MetricsRegistry,
) {
    let panics = PanicLog::new("timer");
    let mut last = Instant::now();
    loop {
        let due = following(last, period, Instant::now());
        let outcome = match due {
            Some(due) => stop.recv_deadline(due),
            // A period that no clock can name: there is no next tick, only the end.
            None => stop.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        if !matches!(outcome, Err(RecvTimeoutError::Timeout)) {
            return;
        }
        last = due.unwrap_or(last);
        call(gossip, metrics, &panics);
    }
}

fn call<G: Gossip + ?Sized>(gossip: &G, metrics: &MetricsRegistry, panics: &PanicLog) {
    let called = catch_unwind(AssertUnwindSafe(|| gossip.on_gossip_timer()));
    metrics.timer_tick(called.is_err());
    if let Err(payload) = called {
        panics.report(payload);
    }
}

/// The first tick after `last` that `now` has not passed, or, if it has passed some, the one that is
/// due now; `None` if no clock can name it.
fn following(last: Instant, period: Duration, now: Instant) -> Option<Instant> {
    let next = last.checked_add(period)?;
    Some(if next < now { now } else { next })
}

impl Drop for P2PThreadJoiner {
    fn drop(&mut self) {
        let Some((keep_running, thread)) = self.running.take() else { return };
        drop(keep_running);
        if let Some(thread) = thread
            && thread.thread().id() != std::thread::current().id()
        {
            // The thread catches the panics of the callback, so there is nothing to hear from it.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for P2PThreadJoiner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("P2PThreadJoiner").finish_non_exhaustive()
    }
}
