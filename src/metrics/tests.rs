use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use strum::IntoEnumIterator;

use super::*;

use crate::{FlowConfig, Outcome, RefusalReason, permits::Attempt};

fn registered(registry: &MetricsRegistry) -> Arc<FlowMetrics> {
    let metrics = Arc::new(FlowMetrics::new(&FlowConfig::new(10).with_threads(2)));
    registry.register(Some(FlowType::Chunk), &metrics);
    metrics
}

fn admit(metrics: &FlowMetrics) {
    assert_eq!(metrics.permits.enter(|| metrics.left()), Attempt::Entered);
}

#[test]
fn a_registry_adds_up_what_its_flows_count() {
    let registry = MetricsRegistry::new();
    let flows = [registered(&registry), registered(&registry)];
    admit(&flows[0]);
    admit(&flows[1]);
    admit(&flows[1]);
    flows[0].waits();
    for (worker, panicked) in flows[1].workers.iter().zip([false, true]) {
        worker.ran(3_000, 5_000, panicked);
        worker.finished();
    }
    let chunk = registry.snapshot().flow(FlowType::Chunk).clone();
    assert_eq!((chunk.admitted, chunk.handled(), chunk.panicked()), (3, 1, 1));
    assert_eq!((chunk.finished(), chunk.in_flight, chunk.waiting), (2, 1, 1));
    assert_eq!((chunk.wait.count(), chunk.service.count()), (2, 2));
    assert!(chunk.service.max() > chunk.wait.max());
    assert_eq!(*registry.snapshot().flow(FlowType::Advert), FlowSnapshot::default());
}

#[test]
fn a_snapshot_names_what_it_counts() {
    let registry = MetricsRegistry::new();
    let flow = registered(&registry);
    flow.ended(Outcome::Closed);
    admit(&flow);
    flow.workers[0].ran(3_000, 5_000, false);
    flow.workers[0].finished();
    admit(&flow);
    registry.received();
    let snapshot = registry.snapshot();
    assert_eq!(
        snapshot.to_string(),
        "1 received, 0 malformed, 0 notices, 0 ticks\n\
         Chunk: 2 admitted, 1 in flight, 1 handled, 1 closed; \
         wait p50 3.007µs, p99 3.007µs; service p50 5.023µs, p99 5.023µs"
    );
    let full = format!("{snapshot:?}");
    assert!(full.contains("Chunk: FlowSnapshot { in_flight: 1, "), "{full}");
    assert!(full.contains("ends: {Handled: 1, Panicked: 0, "), "{full}");
}

#[test]
fn what_has_left_is_looked_at_now_and_then_however_wide_the_bound() {
    let metrics = FlowMetrics::new(&FlowConfig::new(100_000).with_threads(1));
    for _ in 0..50_000 {
        // One at a time is in flight; how many may be by the last look says how long ago that was.
        assert_eq!(metrics.enter(), Attempt::Entered);
        assert!(
            metrics.permits.at_most_in_flight() <= 100,
            "looked at again and again from here on"
        );
        metrics.workers[0].finished();
    }
    assert_eq!((metrics.in_flight(), metrics.snapshot().high_water), (0, 1));
}

#[test]
fn what_a_flow_has_counted_outlives_it_and_takes_no_more_room() {
    let registry = MetricsRegistry::new();
    for _ in 0..1_000 {
        let flow = registered(&registry);
        admit(&flow);
        flow.ended(Outcome::DroppedAtShutdown);
    }
    assert_eq!(registry.shared.flows[FlowType::Chunk as usize].load().current.len(), 1);
    let chunk = registry.snapshot().flow(FlowType::Chunk).clone();
    assert_eq!(
        (chunk.admitted, chunk.count(Outcome::DroppedAtShutdown), chunk.in_flight),
        (1_000, 1_000, 0)
    );
}

#[test]
fn each_reason_and_destination_has_a_count_of_its_own() {
    let registry = MetricsRegistry::new();
    let flow = registered(&registry);
    for (times, reason) in (1..).zip(RefusalReason::iter()) {
        (0..times).for_each(|_| flow.ended(reason.into()));
    }
    (0..3).for_each(|_| registry.dropped_advert(DestinationKind::AllReplicas));
    registry.dropped_advert(DestinationKind::Replicas);
    registry.timer_tick(false);
    registry.timer_tick(true);
    let snapshot = registry.snapshot();
    let chunk = snapshot.flow(FlowType::Chunk);
    let refused: Vec<_> = RefusalReason::iter().map(|reason| chunk.count(reason.into())).collect();
    assert_eq!((refused, chunk.refused()), (vec![1, 2, 3, 4, 5, 6], 21));
    let dropped: Vec<_> =
        DestinationKind::iter().map(|kind| snapshot.dropped_adverts(kind)).collect();
    assert_eq!(dropped, [3, 1]);
    assert_eq!((snapshot.timer_ticks, snapshot.timer_panics), (2, 1));
}

#[test]
fn the_last_message_to_finish_ends_the_wait_for_it() {
    let metrics = FlowMetrics::new(&FlowConfig::new(1).with_threads(1));
    admit(&metrics);
    assert!(!metrics.wait_for_last(0, Instant::now()));
    assert!(metrics.wait_for_last(1, Instant::now()));
    let limit = Instant::now() + Duration::from_secs(60);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| metrics.wait_for_last(0, limit));
        metrics.workers[0].finished();
        metrics.tell_who_shuts_down();
        assert!(waiter.join().unwrap());
    });
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
