//! `async-channel`: the loops of `channel` over a bounded channel on whose room a producer can wait
//! without blocking its thread. As there, each worker may hold one message beyond the bound.

use std::thread::{self, JoinHandle};

use async_channel::{Sender, bounded};
use gossip_engine::NodeId;

use super::{Contender, Handler};
use crate::harness::ledger::Message;

pub(crate) struct AsyncChannel {
    sender: Sender<(NodeId, Message)>,
    workers: Vec<JoinHandle<()>>,
}

impl<H: Handler> Contender<H> for AsyncChannel {
    const NAME: &'static str = "async-channel";

    fn build(limit: usize, threads: usize, handler: H) -> Self {
        let (sender, receiver) = bounded(limit);
        let workers = (0..threads)
            .map(|_| {
                let (receiver, handler) = (receiver.clone(), handler.clone());
                thread::spawn(move || {
                    while let Ok((peer, message)) = receiver.recv_blocking() {
                        handler.handle(peer, message);
                    }
                })
            })
            .collect();
        Self { sender, workers }
    }

    async fn submit(&self, peer: NodeId, message: Message) {
        self.sender.send((peer, message)).await.expect("the workers live");
    }

    fn finish(self) {
        self.sender.close();
        for worker in self.workers {
            worker.join().expect("no worker panics");
        }
    }
}
