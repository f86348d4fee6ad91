//! `tokio`: a task for each message on a runtime with as many workers, behind a `Semaphore`.

use std::sync::Arc;

use gossip_engine::NodeId;
use tokio::{
    runtime::{Builder, Runtime},
    sync::Semaphore,
};

use super::{Contender, Handler};
use crate::harness::ledger::Message;

pub(crate) struct Tokio<H> {
    runtime: Runtime,
    permits: Arc<Semaphore>,
    limit: u32,
    handler: H,
}

impl<H: Handler> Contender<H> for Tokio<H> {
    const NAME: &'static str = "tokio";

    fn build(limit: usize, threads: usize, handler: H) -> Self {
        Self {
            runtime: Builder::new_multi_thread()
                .worker_threads(threads)
                .build()
                .expect("the system gives threads"),
            permits: Arc::new(Semaphore::new(limit)),
            limit: limit.try_into().expect("limits are small"),
            handler,
        }
    }

    async fn submit(&self, peer: NodeId, message: Message) {
        let permit = Arc::clone(&self.permits).acquire_owned().await.expect("it is never closed");
        let handler = self.handler.clone();
        self.runtime.spawn(async move {
            handler.handle(peer, message);
            drop(permit);
        });
    }

    fn finish(self) {
        let all = futures_executor::block_on(self.permits.acquire_many(self.limit));
        drop(all.expect("it is never closed"));
    }
}
