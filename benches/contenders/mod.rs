//! The contenders: the engine, the design that it replaces, what a good engineer would write instead,
//! and two that mark the limits of what can be measured.
//!
//! All have one face, carry the same message, are bounded alike and have the same number of worker
//! threads; where one of these cannot be had exactly, its file says so.

pub(crate) mod async_channel;
pub(crate) mod base;
pub(crate) mod baseline;
pub(crate) mod channel;
pub(crate) mod crossfire;
pub(crate) mod engine;
pub(crate) mod engine_rows;
pub(crate) mod floor;
pub(crate) mod rayon;
pub(crate) mod tokio;
pub(crate) mod tower;

use gossip_engine::NodeId;

use crate::harness::ledger::Message;

/// What is called with every message, on a contender's threads.
pub(crate) trait Handler: Clone + Send + Sync + 'static {
    fn handle(&self, peer: NodeId, message: Message);
}

/// Something that takes messages from many producers and runs a handler on its own threads.
pub(crate) trait Contender<H: Handler>: Send + Sync + Sized + 'static {
    const NAME: &'static str;

    /// Starts `threads` workers; at most `limit` messages shall be admitted and not yet finished.
    fn build(limit: usize, threads: usize, handler: H) -> Self;

    /// Resolves when the message has been admitted.
    fn submit(&self, peer: NodeId, message: Message) -> impl Future<Output = ()> + Send;

    /// How somebody submits who submits many messages of this peer.
    fn submitter(&self, peer: NodeId) -> impl AsyncFnMut(Message) {
        async move |message| self.submit(peer, message).await
    }

    /// Submits all of them; the last has been admitted when it resolves.
    async fn submit_all(&self, peer: NodeId, messages: impl Iterator<Item = Message>) {
        let mut submit = self.submitter(peer);
        for message in messages {
            submit(message).await;
        }
    }

    /// Returns when all that was admitted has been handled and no handler can run any more. The
    /// count is kept by the handlers themselves, for all contenders alike.
    fn finish(self);
}
