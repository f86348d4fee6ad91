//! `channel`: a bounded `crossbeam-channel` and threads that loop over it, what a good engineer writes
//! by hand. No metrics, no cancellation, no panic safety.
//!
//! Its bound is that of the channel, so that each worker may hold one message more. A producer without
//! room blocks its thread; an asynchronous one could not do that.

use std::thread::{self, JoinHandle};

use crossbeam::channel::{Sender, bounded};
use gossip_engine::NodeId;

use super::{Contender, Handler};
use crate::harness::ledger::Message;

pub(crate) struct Channel {
    sender: Sender<(NodeId, Message)>,
    workers: Vec<JoinHandle<()>>,
}

impl<H: Handler> Contender<H> for Channel {
    const NAME: &'static str = "channel";

    fn build(limit: usize, threads: usize, handler: H) -> Self {
        let (sender, receiver) = bounded(limit);
        let workers = (0..threads)
            .map(|_| {
                let (receiver, handler) = (receiver.clone(), handler.clone());
                thread::spawn(move || {
                    for (peer, message) in receiver {
                        handler.handle(peer, message);
                    }
                })
            })
            .collect();
        Self { sender, workers }
    }

    async fn submit(&self, peer: NodeId, message: Message) {
        self.sender.send((peer, message)).expect("the workers live");
    }

    fn finish(self) {
        drop(self.sender);
        for worker in self.workers {
            worker.join().expect("no worker panics");
        }
    }
}
