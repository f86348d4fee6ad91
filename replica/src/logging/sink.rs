//! Lines on their way to standard error or standard output, written by a thread of their own.
//!
//! ```text
//! any task ── send ──> queue (bytes bounded) ──> one thread ──> a file, a terminal, a pipe, or nothing
//! ```
//!
//! [`Sink::send`] never blocks, never fails and never panics, so no task depends on a log disk with space or on
//! somebody who reads. What does not fit into the queue, and what the system does not take, is dropped and counted. A
//! sink that reports its drops writes the count as soon as it can write again.
//!
//! `tracing-appender`'s writer of the same kind keeps its count to itself and prints to standard output and standard
//! error when it ends, which panics or blocks where these are at fault.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use gossip_replica::words::counted;

/// The most bytes that wait to be written: some ten thousand lines.
const MAX_QUEUED_BYTES: usize = 1 << 20;
/// What a line takes in the queue beside its text.
const LINE_OVERHEAD: usize = 64;

#[derive(Debug)]
pub(super) struct Sink {
    orders: mpsc::Sender<Order>,
    counts: Arc<Counts>,
}

#[derive(Debug)]
enum Order {
    Write(Box<[u8]>),
    /// Answers when everything before it has been tried.
    Answer(mpsc::Sender<()>),
}

#[derive(Debug, Default)]
struct Counts {
    queued_bytes: AtomicUsize,
    /// Not reported yet.
    dropped: AtomicU64,
    /// All, since the start.
    dropped_ever: AtomicU64,
}

impl Counts {
    fn drop_line(&self) {
        // Relaxed: figures that order nothing.
        self.dropped.fetch_add(1, Ordering::Relaxed);
        self.dropped_ever.fetch_add(1, Ordering::Relaxed);
    }
}

impl Sink {
    /// A sink in front of `write`, which may block and fail. With `report`, which makes a line of a text, it writes how
    /// many it dropped.
    pub(super) fn new(
        name: &str,
        report: Option<fn(&str) -> String>,
        write: impl FnMut(&[u8]) -> io::Result<()> + Send + 'static,
    ) -> Self {
        let (orders, queue) = mpsc::channel();
        let counts = Arc::new(Counts::default());
        let writer = Writer { write, counts: counts.clone(), report, is_torn: false };
        // Without a thread the queue has no other end: everything is dropped, and counted.
        let _ = thread::Builder::new().name(name.to_owned()).spawn(move || writer.run(&queue));
        Self { orders, counts }
    }

    /// Writes whole lines, now or later or never.
    pub(super) fn send(&self, text: &[u8]) {
        let bytes = text.len().saturating_add(LINE_OVERHEAD);
        let fits =
            |queued: usize| queued.checked_add(bytes).filter(|queued| *queued <= MAX_QUEUED_BYTES);
        // Relaxed, here and below: a figure that orders nothing; the channel hands the text over.
        let reserved =
            self.counts.queued_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits);
        if reserved.is_err() || self.orders.send(Order::Write(text.into())).is_err() {
            self.counts.drop_line();
        }
    }

    /// How much was dropped since the start, in lines.
    pub(super) fn dropped(&self) -> u64 {
        self.counts.dropped_ever.load(Ordering::Relaxed)
    }

    /// Waits until what was sent before has been written or dropped, but not longer than `patience`.
    pub(super) fn flush(&self, patience: Duration) {
        let (answer, answered) = mpsc::channel();
        if self.orders.send(Order::Answer(answer)).is_ok() {
            let _ = answered.recv_timeout(patience);
        }
    }
}

struct Writer<W> {
    write: W,
    counts: Arc<Counts>,
    report: Option<fn(&str) -> String>,
    /// The last line may have been cut off.
    is_torn: bool,
}

impl<W: FnMut(&[u8]) -> io::Result<()>> Writer<W> {
    fn run(mut self, queue: &mpsc::Receiver<Order>) {
        while let Ok(order) = queue.recv() {
            match order {
                Order::Write(text) => {
                    let written = self.write(&text);
                    let bytes = text.len().saturating_add(LINE_OVERHEAD);
                    self.counts.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
                    if written {
                        self.report_drops();
                    } else {
                        self.counts.drop_line();
                    }
                }
                Order::Answer(answer) => {
                    self.report_drops();
                    // Nobody waits any more, perhaps.
                    let _ = answer.send(());
                }
            }
        }
    }

    fn report_drops(&mut self) {
        let Some(report) = self.report else { return };
        let dropped = self.counts.dropped.swap(0, Ordering::Relaxed);
        if dropped == 0 {
            return;
        }
        let begin = if self.is_torn { "\n" } else { "" };
        let lines = counted(dropped, "line");
        let notice = report(&format!("{lines} of this log could not be written"));
        let notice = format!("{begin}{notice}");
        if !self.write(notice.as_bytes()) {
            self.counts.dropped.fetch_add(dropped, Ordering::Relaxed);
        }
    }

    fn write(&mut self, text: &[u8]) -> bool {
        // A thread that panicked would be a log that ends.
        let written = catch_unwind(AssertUnwindSafe(|| (self.write)(text)));
        self.is_torn = !matches!(written, Ok(Ok(())));
        !self.is_torn
    }
}

#[cfg(test)]
mod tests;
