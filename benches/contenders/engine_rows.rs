//! `engine-rows`: the engine, by producers that hand over 16 messages at a time, as a transport does that reads
//! frames by the row.
//!
//! What finds no capacity as a row waits message by message.

use std::collections::VecDeque;

use gossip_engine::NodeId;

use super::{Contender, Handler, engine::Engine};
use crate::harness::ledger::Message;

const ROW: usize = 16;

pub(crate) struct EngineRows(Engine);

impl<H: Handler> Contender<H> for EngineRows {
    const NAME: &'static str = "engine-rows";

    fn build(limit: usize, threads: usize, handler: H) -> Self {
        Self(<Engine as Contender<H>>::build(limit, threads, handler))
    }

    async fn submit(&self, peer: NodeId, message: Message) {
        Contender::<H>::submit(&self.0, peer, message).await;
    }

    async fn submit_all(&self, peer: NodeId, mut messages: impl Iterator<Item = Message>) {
        let mut submitter = self.0.submits(peer);
        let mut row = VecDeque::with_capacity(ROW);
        loop {
            let more = messages.by_ref().take(ROW - row.len());
            row.extend(more.map(|message| (message, size_of::<Message>())));
            if row.is_empty() {
                return;
            }
            if submitter.try_execute_many(&mut row) == 0
                && let Some((message, bytes)) = row.pop_front()
                && submitter.execute_sized(message, bytes).await.is_err()
            {
                panic!("void: the flow is open and few wait");
            }
        }
    }

    fn finish(self) {
        Contender::<H>::finish(self.0);
    }
}
