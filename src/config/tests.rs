use super::*;

#[test]
fn the_defaults_are_those_of_the_specification() {
    let config = ChannelConfig::default();
    let limits: Vec<_> =
        FlowType::iter().map(|flow| config.flow(flow).max_inflight_requests()).collect();
    assert_eq!(limits, [100_000, 100, 100, 1_000, 1_000]);
    assert!(FlowType::iter().all(|flow| config.flow(flow).threads() == 3));
    assert_eq!(config.validate(), Ok(()));
}

#[test]
fn a_limit_of_zero_counts_as_one() {
    assert_eq!(FlowConfig::new(0).max_inflight_requests(), 1);
    assert_eq!(FlowConfig::new(0).validate_as("x"), Ok(()));
}

#[test]
fn each_figure_is_refused_just_beyond_its_limit() {
    let valid = FlowConfig::new(FlowConfig::MAX_INFLIGHT_REQUESTS)
        .with_threads(FlowConfig::MAX_THREADS_PER_FLOW)
        .with_max_waiters(FlowConfig::MAX_WAITERS)
        .with_max_peers(FlowConfig::MAX_PEERS)
        .with_quantum(FlowConfig::MAX_QUANTUM)
        .with_wait_strategy(WaitStrategy::Adaptive(FlowConfig::MAX_SPIN_WINDOW));
    assert_eq!(valid.validate_as("x"), Ok(()));
    let flow = "x";
    for (wrong, error) in [
        (valid.with_threads(0), ConfigError::NoThreads { flow }),
        (valid.with_threads(257), ConfigError::TooManyThreads { flow, threads: 257 }),
        (
            valid.with_max_inflight_requests(FlowConfig::MAX_INFLIGHT_REQUESTS + 1),
            ConfigError::TooManyInflight { flow, limit: FlowConfig::MAX_INFLIGHT_REQUESTS + 1 },
        ),
        (
            valid.with_max_waiters(FlowConfig::MAX_WAITERS + 1),
            ConfigError::TooManyWaiters { flow, waiters: FlowConfig::MAX_WAITERS + 1 },
        ),
        (valid.with_max_peers(0), ConfigError::Peers { flow, peers: 0 }),
        (
            valid.with_max_peers(FlowConfig::MAX_PEERS + 1),
            ConfigError::Peers { flow, peers: FlowConfig::MAX_PEERS + 1 },
        ),
        (
            valid.with_quantum(Duration::from_micros(10_001)),
            ConfigError::LongQuantum { flow, quantum: Duration::from_micros(10_001) },
        ),
        (
            valid.with_wait_strategy(WaitStrategy::Adaptive(Duration::from_millis(11))),
            ConfigError::LongSpinWindow { flow, window: Duration::from_millis(11) },
        ),
    ] {
        assert_eq!(wrong.validate_as(flow), Err(error));
    }
}

#[test]
fn one_wrong_flow_makes_the_whole_configuration_wrong() {
    for flow in FlowType::iter() {
        let config = ChannelConfig::default().with_flow(flow, FlowConfig::new(1).with_threads(0));
        assert_eq!(config.validate(), Err(ConfigError::NoThreads { flow: flow.name() }));
    }
}

#[test]
fn the_worst_case_grows_with_each_figure_and_never_overflows() {
    let small = FlowConfig::new(10).with_max_waiters(10);
    let bytes = small.worst_case_bytes(3, 1_000);
    assert!(bytes > (10 + 3 * 10) * 1_000);
    for larger in [small.with_max_inflight_requests(11), small.with_max_waiters(11)] {
        assert!(larger.worst_case_bytes(3, 1_000) > bytes);
    }
    assert!(small.worst_case_bytes(4, 1_000) > bytes);
    assert_eq!(small.with_max_peers(3).worst_case_bytes(4, 1_000), bytes);
    assert_eq!(small.worst_case_bytes(1, usize::MAX), usize::MAX);
}

#[test]
fn a_quota_is_a_share_of_the_limit_and_never_more_than_all() {
    let quota = |limit| FlowConfig::new(limit).peer_quota();
    assert_eq!([0, 1, 4, 5, 100, 100_000].map(quota), [1, 1, 1, 2, 25, 1_024]);
    let asked = |quota| FlowConfig::new(100).with_peer_quota(quota).peer_quota();
    assert_eq!([0, 1, 100, 101].map(asked), [1, 1, 100, 100]);
}

#[test]
fn one_event_of_a_peer_runs_at_a_time_in_the_transport_flow_whatever_was_asked_for() {
    let two = FlowConfig::new(1).with_peer_threads(2);
    let asked = ChannelConfig::default().with_flow(FlowType::Transport, two);
    let chunks = asked.clone().with_flow(FlowType::Chunk, two);
    assert_eq!(asked.flow(FlowType::Transport).peer_threads(), 1);
    assert_eq!(chunks.flow(FlowType::Chunk).peer_threads(), 2);
}

#[test]
fn a_peer_has_one_to_all_of_the_threads() {
    let asked =
        |threads| FlowConfig::new(1).with_threads(3).with_peer_threads(threads).peer_threads();
    assert_eq!([0, 1, 2, 3, 4].map(asked), [1, 1, 2, 3, 3]);
}

#[test]
fn a_quarantine_after_no_panics_is_refused() {
    let after = |panics| {
        let quarantine = Quarantine::after(panics, Duration::ZERO);
        ChannelConfig::default().with_quarantine(Some(quarantine)).validate()
    };
    assert_eq!((after(0), after(1)), (Err(ConfigError::NoPanics), Ok(())));
}
