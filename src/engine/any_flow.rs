//! A flow, as the engine sees it: whatever its messages are.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{FlowReport, FlowWorker, PeerKey, flow_worker::Reported, queue::Lane};

/// What is done with all flows of an engine alike.
pub(super) trait AnyFlow<K>: Send + Sync {
    fn name(&self) -> &'static str;

    /// A peer has gone: cancels what it has queued, or lets it run, and returns its lanes that may be served.
    fn depart(&self, peer: &K) -> Vec<Arc<Lane<K>>>;

    fn set_peer_weight(&self, peer: &K, weight: u32) -> bool;

    fn close(&self);

    fn shut_down_by(&self, deadline: Instant) -> FlowReport;

    fn is_over(&self) -> bool;

    fn notify_drops(&self, interval: Duration, notify: &dyn Fn(&K, u64) -> bool);

    fn look(&self, stuck_limit: Duration, reported: &mut Reported);
}

impl<M: Send + 'static, K: PeerKey> AnyFlow<K> for Arc<FlowWorker<M, K>> {
    fn name(&self) -> &'static str {
        FlowWorker::name(self)
    }

    fn depart(&self, peer: &K) -> Vec<Arc<Lane<K>>> {
        FlowWorker::depart(self, peer)
    }

    fn set_peer_weight(&self, peer: &K, weight: u32) -> bool {
        FlowWorker::set_peer_weight(self, peer, weight)
    }

    fn close(&self) {
        FlowWorker::close(self);
    }

    fn shut_down_by(&self, deadline: Instant) -> FlowReport {
        FlowWorker::shut_down_by(self, deadline)
    }

    fn is_over(&self) -> bool {
        FlowWorker::is_over(self)
    }

    fn notify_drops(&self, interval: Duration, notify: &dyn Fn(&K, u64) -> bool) {
        FlowWorker::notify_drops(self, interval, notify);
    }

    fn look(&self, stuck_limit: Duration, reported: &mut Reported) {
        FlowWorker::look(self, stuck_limit, reported);
    }
}
