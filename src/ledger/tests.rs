use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use strum::IntoEnumIterator;

use super::*;

use crate::{FlowType, Outcome, RefusalReason};

/// Those of a flow, and of a peer.
const BOUNDS: [Amount; 2] =
    [Amount { items: 10, bytes: u64::MAX }, Amount { items: 10, bytes: u64::MAX }];

/// Some message.
const TAKEN: Taken = Taken { lane: 1, when: 1 };

/// A flow that says what the test wants it to say.
#[derive(Debug, Default)]
struct Gauge(crate::sync::Mutex<Load>);

impl Gauges for Gauge {
    fn load(&self) -> Load {
        *self.0.lock()
    }
}

/// A flow of two workers that has admitted so many messages, of which so many are in flight.
fn registered(
    registry: &MetricsRegistry,
    admitted: u64,
    in_flight: usize,
) -> (Arc<FlowLedger>, Arc<Gauge>) {
    let ledger = Arc::new(FlowLedger::new(2));
    let load =
        Load { admitted, in_flight, least_in_flight: in_flight, bounds: BOUNDS, ..Load::default() };
    let gauge = Arc::new(Gauge(crate::sync::Mutex::new(load)));
    let observed: Weak<Gauge> = Arc::downgrade(&gauge);
    ledger.observe(observed);
    registry.register(FlowType::Chunk.name(), &ledger);
    (ledger, gauge)
}

#[test]
fn a_registry_adds_up_what_its_flows_count() {
    let registry = MetricsRegistry::new();
    let flows = [registered(&registry, 1, 1), registered(&registry, 2, 0)];
    flows[0].0.has_waited();
    for (worker, panicked) in flows[1].0.workers.iter().zip([false, true]) {
        worker.ran(3_000, 5_000, panicked);
    }
    let chunk = registry.snapshot().flow(FlowType::Chunk).clone();
    assert_eq!((chunk.admitted, chunk.handled(), chunk.panicked()), (3, 1, 1));
    assert_eq!((chunk.finished(), chunk.in_flight), (2, 1));
    assert_eq!((chunk.waiting_for_peer_permit, chunk.high_water, chunk.overload), (1, 1, 10));
    assert_eq!((chunk.wait.count(), chunk.service.count()), (2, 2));
    assert!(chunk.service.max() > chunk.wait.max());
    chunk.verify("Chunk").unwrap();
    assert_eq!(*registry.snapshot().flow(FlowType::Advert), FlowSnapshot::default());
}

#[test]
fn what_workers_and_others_find_adds_up_by_outcome() {
    let registry = MetricsRegistry::new();
    let (flow, _gauge) = registered(&registry, 9, 0);
    for (worker, outcome) in
        [(0, Outcome::Expired), (1, Outcome::Cancelled), (1, Outcome::DroppedAtShutdown)]
    {
        flow.workers[worker].discarded(TAKEN, 7, outcome);
        flow.count_many(outcome, 2);
    }
    let chunk = registry.snapshot().flow(FlowType::Chunk).clone();
    let outcomes = [Outcome::Expired, Outcome::Cancelled, Outcome::DroppedAtShutdown];
    assert_eq!(outcomes.map(|outcome| chunk.count(outcome)), [3, 3, 3]);
    assert_eq!((chunk.finished(), chunk.dropped(), chunk.submitted()), (9, 3, 9));
    chunk.verify("Chunk").unwrap();
}

#[test]
fn a_snapshot_names_what_it_counts() {
    let registry = MetricsRegistry::new();
    let (flow, _gauge) = registered(&registry, 2, 1);
    flow.count(Outcome::Closed);
    flow.workers[0].ran(3_000, 5_000, false);
    registry.received(1);
    let snapshot = registry.snapshot();
    assert_eq!(
        snapshot.to_string(),
        "1 received, 0 malformed, 0 unknown, 0 notices, 0 ticks\n\
         Chunk: 2 admitted, 1 in flight, 1 handled, 1 closed; \
         wait p50 3.007µs, p99 3.007µs; service p50 5.023µs, p99 5.023µs"
    );
    let full = format!("{snapshot:?}");
    assert!(full.contains("\"Chunk\": FlowSnapshot { in_flight: 1, "), "{full}");
    assert!(full.contains("ends: {Handled: 1, Panicked: 0, "), "{full}");
}

#[test]
fn what_is_counted_before_a_payload_is_decoded_is_shown() {
    let registry = MetricsRegistry::new();
    (0..3).for_each(|_| registry.received(1));
    registry.malformed();
    registry.unknown();
    registry.quarantined();
    let text = registry.snapshot().to_string();
    assert_eq!(text, "3 received, 1 malformed, 1 unknown, 1 quarantined, 0 notices, 0 ticks");
    assert!(format!("{:?}", registry.snapshot()).contains("quarantined: 1, "));
}

#[test]
fn how_near_a_flow_is_to_its_limits_is_the_largest_of_its_shares() {
    let registry = MetricsRegistry::new();
    let (_flow, gauge) = registered(&registry, 5, 5);
    let overload = |load: Load| {
        *gauge.0.lock() = load;
        registry.snapshot().flow(FlowType::Chunk).overload
    };
    let idle = Load { bounds: BOUNDS, ..Load::default() };
    let second = Duration::from_secs(1);
    assert_eq!(overload(idle), 0);
    assert_eq!(overload(Load { in_flight: 5, ..idle }), 50);
    let in_bytes = BOUNDS.map(|bound| Amount { bytes: 40, ..bound });
    assert_eq!(overload(Load { bytes: 30, bounds: in_bytes, ..idle }), 75);
    assert_eq!(overload(Load { bytes: 50, bounds: in_bytes, ..idle }), 100);
    assert_eq!(overload(Load { oldest_age: second, max_age: Some(second * 4), ..idle }), 25);
    assert_eq!(overload(Load { waiting: 1, ..idle }), 100);
}

#[test]
fn the_high_water_is_noted_and_what_was_admitted_never_falls() {
    let registry = MetricsRegistry::new();
    let (flow, gauge) = registered(&registry, 8, 3);
    flow.note_in_flight(7);
    let shown = |registry: &MetricsRegistry| {
        let chunk = registry.snapshot().flow(FlowType::Chunk).clone();
        (chunk.admitted, chunk.high_water)
    };
    assert_eq!(shown(&registry), (8, 7));
    // The flow is gone; its ledger is not.
    flow.note_admitted(9);
    drop(gauge);
    let (admitted, high_water) = shown(&registry);
    assert!(admitted == 9 && high_water <= 7, "{high_water}");
}

#[test]
fn what_a_flow_has_counted_outlives_it_and_takes_no_more_memory() {
    let registry = MetricsRegistry::new();
    for _ in 0..1_000 {
        let (flow, _gauge) = registered(&registry, 1, 0);
        flow.note_admitted(1);
        flow.count(Outcome::DroppedAtShutdown);
        flow.note_in_flight(5);
    }
    assert_eq!(registry.shared.flows.load()[0].1.current.len(), 1);
    assert_eq!(registry.shared.flows.load()[0].1.gone.high_water, 0);
    let chunk = registry.snapshot().flow(FlowType::Chunk).clone();
    assert_eq!(
        (chunk.admitted, chunk.count(Outcome::DroppedAtShutdown), chunk.in_flight),
        (1_000, 1_000, 0)
    );
}

#[test]
fn each_reason_and_destination_has_a_count_of_its_own() {
    let registry = MetricsRegistry::new();
    let (flow, _gauge) = registered(&registry, 0, 0);
    for (times, reason) in (1..).zip(RefusalReason::iter()) {
        flow.count_many(reason.into(), times);
    }
    (0..3).for_each(|_| registry.dropped_advert(DestinationKind::AllReplicas));
    registry.dropped_advert(DestinationKind::Replicas);
    registry.timer_tick(false);
    registry.timer_tick(true);
    let snapshot = registry.snapshot();
    let chunk = snapshot.flow(FlowType::Chunk);
    let refused: Vec<_> = RefusalReason::iter().map(|reason| chunk.count(reason.into())).collect();
    assert_eq!((refused, chunk.refused()), (vec![1, 2, 3, 4, 5], 15));
    let dropped: Vec<_> =
        DestinationKind::iter().map(|kind| snapshot.dropped_adverts(kind)).collect();
    assert_eq!(dropped, [3, 1]);
    assert_eq!((snapshot.timer_ticks, snapshot.timer_panics), (2, 1));
}

#[test]
fn snapshots_of_several_registries_add_up() {
    let registries = [MetricsRegistry::new(), MetricsRegistry::new()];
    for registry in &registries {
        registry.received(1);
        registry.malformed();
        registry.unknown();
        registry.quarantined();
        registry.notice();
        registry.dropped_advert(DestinationKind::AllReplicas);
    }
    let mut sum = registries[0].snapshot();
    sum.merge(&registries[1].snapshot());
    assert_eq!((sum.received, sum.malformed, sum.unknown), (2, 2, 2));
    assert_eq!((sum.quarantined, sum.notices), (2, 2));
    assert_eq!(sum.dropped_adverts(DestinationKind::AllReplicas), 2);
}
