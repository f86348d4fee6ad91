//! `crossfire`: the loops of `channel` over a bounded channel of crossfire 3, said to be the fastest of the channels.
//! As there, each worker may hold one message beyond the bound, and a producer without capacity blocks its thread.

use std::thread::{self, JoinHandle};

use crossfire::{
    MTx, detect_backoff_cfg,
    mpmc::{Array, bounded_blocking},
};
use gossip_engine::NodeId;

use super::{Contender, Handler};
use crate::harness::ledger::Message;

pub(crate) struct Crossfire {
    sender: MTx<Array<(NodeId, Message)>>,
    workers: Vec<JoinHandle<()>>,
}

impl<H: Handler> Contender<H> for Crossfire {
    const NAME: &'static str = "crossfire";

    fn build(limit: usize, threads: usize, handler: H) -> Self {
        // Its documentation asks for this call; it does something on a machine with one core.
        detect_backoff_cfg();
        let (sender, receiver) = bounded_blocking(limit);
        let workers = (0..threads)
            .map(|_| {
                let (receiver, handler) = (receiver.clone(), handler.clone());
                thread::spawn(move || {
                    while let Ok((peer, message)) = receiver.recv() {
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
