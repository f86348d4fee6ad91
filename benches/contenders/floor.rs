//! `floor`: a bare `ArrayQueue` and one thread that empties it. Both sides spin and then yield, so it
//! is no design, only what a bounded queue costs at the least.
//!
//! It has one worker, whatever `threads` says, and no word about who waits.

#![expect(
    clippy::disallowed_types,
    reason = "the engine's stand-ins for atomics are not part of its public API"
)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use crossbeam::{queue::ArrayQueue, utils::Backoff};
use gossip_engine::NodeId;

use super::{Contender, Handler};
use crate::harness::ledger::Message;

struct Shared {
    queue: ArrayQueue<(NodeId, Message)>,
    closed: AtomicBool,
}

pub(crate) struct Floor {
    shared: Arc<Shared>,
    worker: JoinHandle<()>,
}

impl<H: Handler> Contender<H> for Floor {
    const NAME: &'static str = "floor";

    fn build(limit: usize, _: usize, handler: H) -> Self {
        let shared =
            Arc::new(Shared { queue: ArrayQueue::new(limit), closed: AtomicBool::new(false) });
        let of_worker = Arc::clone(&shared);
        let worker = thread::spawn(move || {
            let backoff = Backoff::new();
            loop {
                if let Some((peer, message)) = of_worker.queue.pop() {
                    handler.handle(peer, message);
                    backoff.reset();
                // Acquire: what was pushed before the queue was closed is seen by the last look.
                } else if of_worker.closed.load(Ordering::Acquire) {
                    if of_worker.queue.is_empty() {
                        return;
                    }
                } else {
                    backoff.snooze();
                }
            }
        });
        Self { shared, worker }
    }

    async fn submit(&self, peer: NodeId, message: Message) {
        let backoff = Backoff::new();
        let mut submitted = (peer, message);
        while let Err(back) = self.shared.queue.push(submitted) {
            submitted = back;
            backoff.snooze();
        }
    }

    fn finish(self) {
        // Release: after everything that was pushed.
        self.shared.closed.store(true, Ordering::Release);
        self.worker.join().expect("the worker does not panic");
    }
}
