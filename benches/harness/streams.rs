//! Streams of messages that are submitted when they are due, all by one thread.
//!
//! A stream awaits its own call before it submits its next message, as a transport's does, and waits for
//! no other stream: while the call of one is pending, the messages of the others go on. The thread
//! polls a pending call only when it was woken, so that it does not disturb what it waits for. Between
//! messages it spins, to submit each on time, or sleeps, to leave its core to whatever else the machine does.

#![expect(
    clippy::disallowed_types,
    reason = "the engine's stand-ins for atomics are not part of its public API"
)]

use std::{
    collections::VecDeque,
    hint,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

/// A message that is to come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub(crate) due: Duration,
    pub(crate) stream: usize,
    pub(crate) sequence: usize,
}

/// Merges the schedules of several streams into one and numbers the messages by the time when they
/// are due.
pub(crate) fn merged(schedules: impl IntoIterator<Item = Vec<Duration>>) -> Vec<Arrival> {
    let of_stream = |(stream, dues): (usize, Vec<Duration>)| {
        dues.into_iter().map(move |due| Arrival { due, stream, sequence: 0 })
    };
    let mut arrivals: Vec<Arrival> =
        schedules.into_iter().enumerate().flat_map(of_stream).collect();
    arrivals.sort_by_key(|arrival| arrival.due);
    for (sequence, arrival) in arrivals.iter_mut().enumerate() {
        arrival.sequence = sequence;
    }
    arrivals
}

/// What the thread does between messages.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Between {
    Spin,
    /// It submits each message later by what it takes to wake it.
    Sleep,
}

/// Brings every message when it is due, `started` being the schedule's zero, or as soon as the call
/// before it in its stream has resolved. Returns when all calls have.
pub(crate) fn submit<F: Future<Output = ()>>(
    started: Instant,
    arrivals: &[Arrival],
    between: Between,
    call: impl Fn(Arrival) -> F,
) {
    let count = arrivals.iter().map(|arrival| arrival.stream + 1).max().unwrap_or(0);
    let sleeper = (between == Between::Sleep).then(thread::current);
    let mut streams: Vec<Stream<F>> = (0..count).map(|_| Stream::new(sleeper.clone())).collect();
    let mut coming = arrivals.iter().copied().peekable();
    let mut pending = 0;
    loop {
        let now = started.elapsed();
        while let Some(arrival) = coming.next_if(|arrival| arrival.due <= now) {
            let stream = &mut streams[arrival.stream];
            stream.backlog.push_back(arrival);
            if !stream.pending {
                pending += usize::from(stream.advance(&call));
            }
        }
        if pending > 0 {
            for stream in streams.iter_mut().filter(|stream| stream.pending && stream.was_woken()) {
                pending -= usize::from(!stream.advance(&call));
            }
        }
        if pending == 0 && coming.peek().is_none() {
            return;
        }
        match (between, coming.peek()) {
            (Between::Spin, _) => hint::spin_loop(),
            (Between::Sleep, Some(next)) => {
                thread::park_timeout(next.due.saturating_sub(started.elapsed()));
            }
            // Only a call that is pending can be waited for, and its wake ends the sleep.
            (Between::Sleep, None) => thread::park(),
        }
    }
}

struct Stream<F> {
    /// What is due and not yet submitted.
    backlog: VecDeque<Arrival>,
    call: Pin<Box<Option<F>>>,
    pending: bool,
    woken: Arc<Woken>,
    waker: Waker,
}

impl<F: Future<Output = ()>> Stream<F> {
    fn new(sleeper: Option<Thread>) -> Self {
        let woken = Arc::new(Woken { is_woken: AtomicBool::new(false), sleeper });
        let waker = Arc::clone(&woken).into();
        Self { backlog: VecDeque::new(), call: Box::pin(None), pending: false, woken, waker }
    }

    fn was_woken(&self) -> bool {
        // Acquire: what happened before the wake is seen by the poll.
        self.woken.is_woken.swap(false, Ordering::Acquire)
    }

    /// Goes on until a call is pending or nothing is left, and returns whether one is pending.
    fn advance(&mut self, call: impl Fn(Arrival) -> F) -> bool {
        loop {
            if !self.pending {
                let Some(arrival) = self.backlog.pop_front() else { return false };
                self.call.set(Some(call(arrival)));
            }
            let future = self.call.as_mut().as_pin_mut().expect("it was set when it was submitted");
            self.pending = future.poll(&mut Context::from_waker(&self.waker)).is_pending();
            if self.pending {
                return true;
            }
            self.call.set(None);
        }
    }
}

struct Woken {
    is_woken: AtomicBool,
    sleeper: Option<Thread>,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Release: pairs with the swap in `was_woken`.
        self.is_woken.store(true, Ordering::Release);
        if let Some(sleeper) = &self.sleeper {
            sleeper.unpark();
        }
    }
}
