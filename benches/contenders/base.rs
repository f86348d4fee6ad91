//! `base`: nothing; the producer calls the handler itself. What is left is the harness.

use gossip_engine::NodeId;

use super::{Contender, Handler};
use crate::harness::ledger::Message;

pub(crate) struct Base<H>(H);

impl<H: Handler> Contender<H> for Base<H> {
    const NAME: &'static str = "base";

    fn build(_: usize, _: usize, handler: H) -> Self {
        Self(handler)
    }

    async fn submit(&self, peer: NodeId, message: Message) {
        self.0.handle(peer, message);
    }

    fn finish(self) {}
}
