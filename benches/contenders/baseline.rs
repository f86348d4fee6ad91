//! `baseline`: the design that this crate replaces, rebuilt: a `threadpool` behind a mutex, owned permits
//! of a tokio `Semaphore`, a `prometheus` histogram timer for each message, and a boxed future for
//! each call. The timer runs from admission to the end of the handler, waiting and running mixed.

use std::{pin::Pin, sync::Arc};

use gossip_engine::NodeId;
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, Registry};
use threadpool::ThreadPool;
use tokio::sync::{Semaphore, TryAcquireError};

#[expect(clippy::disallowed_types, reason = "the baseline has this lock, and its cost is measured")]
type Mutex<T> = std::sync::Mutex<T>;

use super::{Contender, Handler};
use crate::harness::ledger::Message;

pub(crate) struct Baseline<H> {
    pool: Mutex<ThreadPool>,
    permits: Arc<Semaphore>,
    durations: Histogram,
    waits: IntCounter,
    handler: H,
}

impl<H: Handler> Baseline<H> {
    fn execute(
        &self,
        peer: NodeId,
        message: Message,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            let permit = match Arc::clone(&self.permits).try_acquire_owned() {
                Ok(permit) => permit,
                Err(TryAcquireError::NoPermits) => {
                    self.waits.inc();
                    Arc::clone(&self.permits).acquire_owned().await.expect("it is never closed")
                }
                Err(TryAcquireError::Closed) => unreachable!("it is never closed"),
            };
            let timer = self.durations.start_timer();
            let handler = self.handler.clone();
            self.pool.lock().expect("no thread panics with it").execute(move || {
                let _permit = permit;
                handler.handle(peer, message);
                timer.observe_duration();
            });
        })
    }
}

impl<H: Handler> Contender<H> for Baseline<H> {
    const NAME: &'static str = "baseline";

    fn build(limit: usize, threads: usize, handler: H) -> Self {
        let registry = Registry::new();
        let opts = HistogramOpts::new("flow_duration_seconds", "From admission to the end");
        let durations = HistogramVec::new(opts, &["flow"]).expect("the names are valid");
        let waits = IntCounter::new("waiting_for_peer_permit", "Submitters that had to wait")
            .expect("the name is valid");
        registry.register(Box::new(durations.clone())).expect("the registry is empty");
        registry.register(Box::new(waits.clone())).expect("the names differ");
        Self {
            pool: Mutex::new(ThreadPool::with_name("baseline".into(), threads)),
            permits: Arc::new(Semaphore::new(limit)),
            durations: durations.with_label_values(&["advert"]),
            waits,
            handler,
        }
    }

    async fn submit(&self, peer: NodeId, message: Message) {
        self.execute(peer, message).await;
    }

    fn finish(self) {
        self.pool.lock().expect("no thread panics with it").join();
    }
}
