use std::sync::Arc;

use strum::IntoEnumIterator;

use super::*;

struct Load(usize);

impl FlowLoad for Load {
    fn in_flight(&self) -> usize {
        self.0
    }

    fn waiting(&self) -> usize {
        self.0 + 1
    }
}

fn registered(registry: &MetricsRegistry, load: &Arc<Load>) -> Arc<FlowMetrics> {
    let metrics = Arc::new(FlowMetrics::new(2));
    let weak: Weak<Load> = Arc::downgrade(load);
    registry.register(Some(FlowType::Chunk), Arc::clone(&metrics), weak);
    metrics
}

#[test]
fn a_registry_adds_up_what_its_flows_count() {
    let registry = MetricsRegistry::new();
    let load = Arc::new(Load(4));
    let flows = [registered(&registry, &load), registered(&registry, &load)];
    flows[0].admitted();
    flows[1].admitted();
    flows[1].handled();
    flows[1].ran(7, Duration::from_micros(3), Duration::from_micros(5));
    let chunk = registry.snapshot().flow(FlowType::Chunk).clone();
    assert_eq!((chunk.admitted, chunk.handled, chunk.finished()), (2, 1, 1));
    assert_eq!((chunk.in_flight, chunk.waiting), (8, 10));
    assert_eq!((chunk.wait.count(), chunk.service.count()), (1, 1));
    assert!(chunk.service.max() > chunk.wait.max());
    assert_eq!(*registry.snapshot().flow(FlowType::Advert), FlowSnapshot::default());
}

#[test]
fn what_a_flow_has_counted_outlives_it_and_takes_no_more_room() {
    let registry = MetricsRegistry::new();
    for _ in 0..1_000 {
        let load = Arc::new(Load(1));
        registered(&registry, &load).panicked();
    }
    assert_eq!(registry.shared.flows[FlowType::Chunk as usize].load().current.len(), 1);
    let chunk = registry.snapshot().flow(FlowType::Chunk).clone();
    assert_eq!((chunk.panicked, chunk.in_flight), (1_000, 0));
}

#[test]
fn each_reason_and_destination_has_a_count_of_its_own() {
    let registry = MetricsRegistry::new();
    let load = Arc::new(Load(0));
    let flow = registered(&registry, &load);
    flow.refused(RefusalReason::Closed);
    (0..2).for_each(|_| flow.refused(RefusalReason::TooManyWaiters));
    (0..3).for_each(|_| registry.dropped_advert(DestinationKind::AllReplicas));
    registry.dropped_advert(DestinationKind::Replicas);
    registry.timer_tick(false);
    registry.timer_tick(true);
    let snapshot = registry.snapshot();
    let chunk = snapshot.flow(FlowType::Chunk);
    assert_eq!((chunk.refused_closed, chunk.refused_too_many_waiters, chunk.refused()), (1, 2, 3));
    let dropped: Vec<_> =
        DestinationKind::iter().map(|kind| snapshot.dropped_adverts(kind)).collect();
    assert_eq!(dropped, [3, 1]);
    assert_eq!((snapshot.timer_ticks, snapshot.timer_panics), (2, 1));
}

#[test]
fn snapshots_of_several_registries_add_up() {
    let registries = [MetricsRegistry::new(), MetricsRegistry::new()];
    for registry in &registries {
        registry.received();
        registry.malformed();
        registry.dropped_advert(DestinationKind::AllReplicas);
    }
    let mut sum = registries[0].snapshot();
    sum.merge(&registries[1].snapshot());
    assert_eq!((sum.received, sum.malformed), (2, 2));
    assert_eq!(sum.dropped_adverts(DestinationKind::AllReplicas), 2);
}
