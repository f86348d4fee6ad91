//! `tower`: `ConcurrencyLimit` over `Buffer` over a service that runs the handler, on a tokio runtime
//! with as many workers.
//!
//! The limit lies outside, because only then do both together hold no more than `limit` messages. A
//! permit lives in the response future, which nobody but its caller polls; so each call's future is
//! spawned. The handler itself runs on the buffer's worker, one at a time, whatever `threads` says:
//! `Buffer` has one worker, and to spawn from there once more would be a second task for each message.

use std::{
    future::{Ready, ready},
    sync::Arc,
    task::{Context, Poll},
};

use gossip_engine::NodeId;
use tokio::{
    runtime::{Builder, Runtime},
    sync::Semaphore,
};
use tower::{Service, ServiceExt, buffer::Buffer, limit::ConcurrencyLimit};

use super::{Contender, Handler};
use crate::harness::ledger::Message;

type Call = (NodeId, Message);
type Response = Ready<Result<(), tower::BoxError>>;

/// The service at the bottom.
struct Handle<H>(H);

impl<H: Handler> Service<Call> for Handle<H> {
    type Response = ();
    type Error = tower::BoxError;
    type Future = Response;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (peer, message): Call) -> Response {
        self.0.handle(peer, message);
        ready(Ok(()))
    }
}

pub(crate) struct Tower {
    runtime: Runtime,
    service: ConcurrencyLimit<Buffer<Call, Response>>,
    permits: Arc<Semaphore>,
    limit: u32,
}

impl<H: Handler> Contender<H> for Tower {
    const NAME: &'static str = "tower";

    fn build(limit: usize, threads: usize, handler: H) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads)
            .build()
            .expect("the system gives threads");
        let (buffer, worker) = Buffer::pair(Handle(handler), limit);
        runtime.spawn(worker);
        let permits = Arc::new(Semaphore::new(limit));
        Self {
            runtime,
            service: ConcurrencyLimit::with_semaphore(buffer, Arc::clone(&permits)),
            permits,
            limit: limit.try_into().expect("limits are small"),
        }
    }

    async fn submit(&self, peer: NodeId, message: Message) {
        let mut service = self.service.clone();
        let ready = service.ready().await.expect("the buffer's worker lives");
        self.runtime.spawn(ready.call((peer, message)));
    }

    fn finish(self) {
        let all = futures_executor::block_on(self.permits.acquire_many(self.limit));
        drop(all.expect("it is never closed"));
    }
}
