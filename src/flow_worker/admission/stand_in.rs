//! Lanes whose messages nobody runs, for the tests and the models of the door.
#![expect(clippy::disallowed_types, reason = "what is recorded here is no part of a model")]

use std::sync::Mutex;

use super::*;
use crate::{FlowConfig, NodeId};

impl Weigh for u32 {
    fn bytes(&self) -> u32 {
        10
    }

    fn charged(&mut self) {}
}

/// The metrics of a flow.
pub(super) fn metrics(limit: usize, workers: usize) -> Arc<FlowMetrics> {
    Arc::new(FlowMetrics::new(&FlowConfig::new(limit).with_threads(workers)))
}

/// A lane of its own.
pub(super) fn lane(seat: usize, quota: usize) -> Arc<Lane<u32>> {
    let config = FlowConfig::new(quota).with_peer_quota(quota);
    Arc::new(Lane::new(NodeId::new([0; 32]), seat, &config, quota, None))
}

/// Lanes, and which messages of those who waited were admitted or refused. A lock that loom does not see
/// adds no order to a model.
pub(super) struct Flow {
    pub(super) lanes: Vec<Arc<Lane<u32>>>,
    pub(super) admitted: Mutex<Vec<u32>>,
    pub(super) refused: Mutex<Vec<RefusalReason>>,
}

impl Flow {
    pub(super) fn new(lanes: usize, quota: usize) -> Self {
        Self {
            lanes: (0..lanes).map(|seat| lane(seat, quota)).collect(),
            admitted: Mutex::default(),
            refused: Mutex::default(),
        }
    }
}

impl Admit<u32> for Flow {
    fn lane(&self, seat: usize) -> Option<Arc<Lane<u32>>> {
        self.lanes.get(seat).cloned()
    }

    fn lanes(&self) -> impl Iterator<Item = Arc<Lane<u32>>> {
        self.lanes.iter().cloned()
    }

    fn admit(&self, _: &Lane<u32>, message: u32) {
        self.admitted.lock().unwrap().push(message);
    }

    fn refused(&self, reason: RefusalReason) {
        self.refused.lock().unwrap().push(reason);
    }

    fn has_left(&self, _: &Arc<Lane<u32>>) {}
}
