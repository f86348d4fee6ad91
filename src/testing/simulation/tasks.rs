//! Futures that a simulation polls when they are woken and their turn comes.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
};

use crate::sync::{AtomicBool, Ordering};

/// How many tasks there may be at once.
pub(super) const MAX_TASKS: usize = 10_000;

/// Whether a future was woken.
#[derive(Default)]
pub(super) struct Woken(pub(super) AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        // Release: who polls the future sees what came before its waking.
        self.0.store(true, Ordering::Release);
    }
}

/// A future that nobody else polls.
pub(super) struct Task {
    number: u64,
    future: Pin<Box<dyn Future<Output = ()>>>,
    /// Set at first, so that it is polled once.
    woken: Arc<Woken>,
}

impl Task {
    /// Polls it; gives it back if it is pending.
    pub(super) fn poll(mut self) -> Option<Self> {
        // Acquire: the poll sees what came before the waking. It is taken back first, so that a later one stays.
        self.woken.0.swap(false, Ordering::Acquire);
        let waker = Waker::from(Arc::clone(&self.woken));
        match self.future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(()) => None,
            Poll::Pending => Some(self),
        }
    }
}

/// The tasks of a simulation, without the one that is polled.
#[derive(Default)]
pub(super) struct Tasks {
    by_number: BTreeMap<u64, Task>,
    spawned: u64,
}

impl Tasks {
    pub(super) fn spawn(&mut self, future: Pin<Box<dyn Future<Output = ()>>>) {
        self.spawned += 1;
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        self.put_back(Task { number: self.spawned, future, woken });
    }

    /// How many have not ended.
    pub(super) fn count(&self) -> usize {
        self.by_number.len()
    }

    /// How many are to be polled.
    pub(super) fn count_woken(&self) -> usize {
        self.woken().count()
    }

    /// Takes one of those that are to be polled.
    pub(super) fn take_woken(&mut self, choice: usize) -> Option<Task> {
        let number = self.woken().nth(choice)?;
        self.by_number.remove(&number)
    }

    pub(super) fn put_back(&mut self, task: Task) {
        self.by_number.insert(task.number, task);
    }

    fn woken(&self) -> impl Iterator<Item = u64> {
        // Acquire: pairs with `Woken::wake`.
        let tasks = self.by_number.values();
        tasks.filter(|task| task.woken.0.load(Ordering::Acquire)).map(|task| task.number)
    }
}
