//! Counts that are read while messages flow.

use super::*;

/// Reads the counts all the time, while submitters are refused in all ways.
fn assert_admitted_never_falls(config: FlowConfig) {
    let config = config.with_threads(2).with_overload_policy(OverloadPolicy::Refuse);
    let registry = MetricsRegistry::new();
    let handler = |_: &NodeId, (): ()| thread::yield_now();
    let flow = FlowWorker::new(FlowType::Request, &config, &registry, handler).unwrap();
    let is_over = AtomicBool::new(false);
    let submitted = thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let (mut last, mut counted, mut reads) = (0, 0, 0_u64);
            while !is_over.load(Ordering::Relaxed) || reads < 100 {
                let admitted = flow.snapshot().admitted;
                assert!(admitted >= last, "it falls from {last} to {admitted}");
                last = admitted;
                // What the snapshot shows is the largest of what it has seen; this is what it sees.
                for _ in 0..1_000 {
                    let admitted = flow.inner.queue.admitted();
                    assert!(admitted >= counted, "it falls from {counted} to {admitted}");
                    counted = admitted;
                }
                reads += 1;
            }
        });
        let submitters: Vec<_> = (0..3)
            .map(|from| {
                let flow = &flow;
                scope.spawn(move || {
                    let each = 20_000;
                    let admitted = (0..each)
                        .filter(|_| at_once(flow.execute_sized(peer(from), (), 100)).is_ok())
                        .count();
                    (admitted, each - admitted)
                })
            })
            .collect();
        let sum = submitters.into_iter().map(|submitter| submitter.join().unwrap());
        let sum =
            sum.fold((0, 0), |(all, not), (admitted, refused)| (all + admitted, not + refused));
        is_over.store(true, Ordering::Relaxed);
        reader.join().unwrap();
        sum
    });
    let counts = at_rest(&flow);
    assert_eq!((counts.admitted, counts.refused()), (submitted.0 as u64, submitted.1 as u64));
    assert!(submitted.1 > 0, "nothing was refused");
}

#[test]
fn what_was_admitted_never_falls_under_refusals_by_quota_and_bytes() {
    for _ in 0..rounds(2) {
        assert_admitted_never_falls(FlowConfig::new(4).with_peer_quota(2));
        assert_admitted_never_falls(FlowConfig::new(1_000).with_peer_max_bytes(Some(150)));
        assert_admitted_never_falls(FlowConfig::new(1_000).with_max_bytes(Some(150)));
        assert_admitted_never_falls(FlowConfig::new(3).with_peer_quota(3));
    }
}

#[test]
fn the_mark_of_the_most_in_flight_is_never_above_the_bound() {
    let flow = flow(FlowConfig::new(8).with_threads(2), |_, _: u32| {});
    let is_over = AtomicBool::new(false);
    thread::scope(|threads| {
        let (flow, is_over) = (&flow, &is_over);
        // As often as it is looked at: a look that is torn counts what was admitted in its middle.
        threads.spawn(move || {
            while !is_over.load(Ordering::Acquire) {
                assert!(flow.snapshot().high_water <= 8);
                thread::yield_now();
            }
        });
        let submitters: Vec<_> = (0..3)
            .map(|number| {
                threads.spawn(move || {
                    let mut submitter = flow.submitter(peer(number));
                    for message in 0..3_000 {
                        block_on(submitter.execute(message)).unwrap();
                    }
                })
            })
            .collect();
        submitters.into_iter().for_each(|submitter| submitter.join().unwrap());
        is_over.store(true, Ordering::Release);
    });
    assert_eq!(at_rest(&flow).handled(), 9_000);
}
