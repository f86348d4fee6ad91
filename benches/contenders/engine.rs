//! `engine`: one flow of this crate with everything that it counts and times.
//!
//! How many threads may serve one peer at the same time is as it comes, where a bench does not say otherwise.

use std::time::Duration;

use gossip_engine::{
    FlowConfig, FlowType, FlowWorker, MessageHandler, MetricsRegistry, NodeId, Submitter,
};

use super::{Contender, Handler};
use crate::harness::ledger::Message;

const DEADLINE: Duration = Duration::from_secs(60);

/// The handler as the engine wants it.
struct Handle<H>(H);

impl<H: Handler> MessageHandler<Message> for Handle<H> {
    fn handle(&self, peer: &NodeId, message: Message) {
        self.0.handle(*peer, message);
    }
}

pub(crate) struct Engine {
    flow: FlowWorker<Message>,
    _registry: MetricsRegistry,
}

impl Engine {
    pub(crate) fn with(config: &FlowConfig, handler: impl Handler) -> Self {
        let registry = MetricsRegistry::new();
        let flow = FlowWorker::new(FlowType::Advert, config, &registry, Handle(handler))
            .expect("the configuration is in range");
        Self { flow, _registry: registry }
    }

    /// Who submits many messages of this peer.
    pub(crate) fn submits(&self, peer: NodeId) -> Submitter<'_, Message> {
        self.flow.submitter(peer)
    }

    /// Gives a peer's lane a weight; false if the peer has no lane.
    pub(crate) fn set_peer_weight(&self, peer: NodeId, weight: u32) -> bool {
        self.flow.set_peer_weight(peer, weight)
    }
}

impl<H: Handler> Contender<H> for Engine {
    const NAME: &'static str = "engine";

    /// One peer may have all permits, as with the other contenders.
    fn build(limit: usize, threads: usize, handler: H) -> Self {
        let config = FlowConfig::new(limit).with_threads(threads).with_peer_quota(limit);
        Self::with(&config, handler)
    }

    async fn submit(&self, peer: NodeId, message: Message) {
        if self.flow.execute(peer, message).await.is_err() {
            panic!("void: the flow is open and few wait");
        }
    }

    fn submitter(&self, peer: NodeId) -> impl AsyncFnMut(Message) {
        let mut submitter = self.submits(peer);
        async move |message| {
            if submitter.execute(message).await.is_err() {
                panic!("void: the flow is open and few wait");
            }
        }
    }

    fn finish(self) {
        let report = self.flow.shutdown(DEADLINE);
        assert!(report.is_clean(), "void: {report:?}");
    }
}
