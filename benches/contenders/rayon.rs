//! `rayon`: a job for each message on a pool with as many threads, first come first served, behind a
//! `Semaphore`.

use std::sync::Arc;

use gossip_engine::NodeId;
use rayon::{ThreadPool, ThreadPoolBuilder};
use tokio::sync::Semaphore;

use super::{Contender, Handler};
use crate::harness::ledger::Message;

pub(crate) struct Rayon<H> {
    pool: ThreadPool,
    permits: Arc<Semaphore>,
    limit: u32,
    handler: H,
}

impl<H: Handler> Contender<H> for Rayon<H> {
    const NAME: &'static str = "rayon";

    fn build(limit: usize, threads: usize, handler: H) -> Self {
        Self {
            pool: ThreadPoolBuilder::new()
                .num_threads(threads)
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
        self.pool.spawn_fifo(move || {
            handler.handle(peer, message);
            drop(permit);
        });
    }

    fn finish(self) {
        let all = futures_executor::block_on(self.permits.acquire_many(self.limit));
        drop(all.expect("it is never closed"));
    }
}
