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
    assert_eq!(FlowConfig::new(0).validate("x"), Ok(()));
}

#[test]
fn each_figure_is_refused_just_beyond_its_limit() {
    let valid = FlowConfig::new(MAX_INFLIGHT_REQUESTS)
        .with_threads(MAX_THREADS_PER_FLOW)
        .with_max_waiters(MAX_WAITERS);
    assert_eq!(valid.validate("x"), Ok(()));
    let flow = "x";
    for (wrong, error) in [
        (valid.with_threads(0), ConfigError::NoThreads { flow }),
        (valid.with_threads(257), ConfigError::TooManyThreads { flow, threads: 257 }),
        (
            valid.with_max_inflight_requests(MAX_INFLIGHT_REQUESTS + 1),
            ConfigError::TooManyInflight { flow, limit: MAX_INFLIGHT_REQUESTS + 1 },
        ),
        (
            valid.with_max_waiters(MAX_WAITERS + 1),
            ConfigError::TooManyWaiters { flow, waiters: MAX_WAITERS + 1 },
        ),
    ] {
        assert_eq!(wrong.validate(flow), Err(error));
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
    assert!(small.worst_case_bytes(1_000) > 20 * 1_000);
    assert!(small.with_max_inflight_requests(11).worst_case_bytes(1) > small.worst_case_bytes(1));
    assert!(small.with_max_waiters(11).worst_case_bytes(1) > small.worst_case_bytes(1));
    assert_eq!(small.worst_case_bytes(usize::MAX), usize::MAX);
}
