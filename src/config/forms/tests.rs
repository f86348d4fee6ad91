use std::time::Duration;

use proptest::{option, prelude::*, sample::select};
use serde_json::{Value, from_str, from_value, json, to_string, to_value};

use super::*;
use crate::{Departure, OverloadPolicy, PanicPolicy, WaitStrategy};

fn durations(most: Duration) -> impl Strategy<Value = Duration> {
    let nanos = most.as_nanos() as u64;
    prop_oneof![Just(0), Just(nanos), 0..=nanos].prop_map(Duration::from_nanos)
}

fn any_duration() -> impl Strategy<Value = Duration> {
    let some = (any::<u64>(), 0..1_000_000_000_u32)
        .prop_map(|(seconds, nanos)| Duration::new(seconds, nanos));
    prop_oneof![some, durations(Duration::from_secs(3_600)), Just(Duration::MAX)]
}

fn any_number() -> impl Strategy<Value = usize> {
    prop_oneof![0..10_usize, any::<usize>(), Just(usize::MAX)]
}

fn sizes() -> impl Strategy<Value = Option<u64>> {
    option::of(prop_oneof![
        1..=FlowConfig::MAX_BYTES,
        (1..=FlowConfig::MAX_BYTES >> 20).prop_map(|mib| mib << 20)
    ])
}

/// Any valid one; one of the Transport flow drops nothing. Boxed, since five of them do not fit on a test's stack.
fn flow_configs(is_transport: bool) -> BoxedStrategy<FlowConfig> {
    let figures = (
        0..=FlowConfig::MAX_INFLIGHT_REQUESTS,
        option::of(any_number()),
        1..=FlowConfig::MAX_PEERS,
        0..=FlowConfig::MAX_WAITERS,
        1..=FlowConfig::MAX_THREADS_PER_FLOW,
        any_number(),
        durations(FlowConfig::MAX_QUANTUM),
        prop_oneof![
            durations(FlowConfig::MAX_SPIN_WINDOW).prop_map(WaitStrategy::Adaptive),
            Just(WaitStrategy::Park),
            Just(WaitStrategy::Spin),
        ],
    );
    let lossless = vec![OverloadPolicy::Wait, OverloadPolicy::Refuse];
    let lossy =
        [OverloadPolicy::DropNewest, OverloadPolicy::DropOldest, OverloadPolicy::KeepLatest];
    let all = [&lossless[..], &lossy].concat();
    let age = durations(FlowConfig::MAX_AGE - Duration::from_nanos(1))
        .prop_map(|age| age + Duration::from_nanos(1));
    let policies = (
        any::<bool>(),
        sizes(),
        sizes(),
        select(if is_transport { lossless } else { all }),
        option::of(age).prop_map(move |age| age.filter(|_| !is_transport)),
        select(vec![Departure::Cancel, Departure::Drain]),
        select(vec![PanicPolicy::Contain, PanicPolicy::FailFast]),
        option::of(any_number()),
    );
    (figures, policies)
        .prop_map(|(figures, policies)| {
            let (limit, quota, peers, waiters, threads, peer_threads, quantum, wait) = figures;
            let (forking, bytes, peer_bytes, overload, age, departure, panics, core) = policies;
            let config = FlowConfig::new(limit)
                .with_max_peers(peers)
                .with_max_waiters(waiters)
                .with_threads(threads)
                .with_peer_threads(peer_threads)
                .with_quantum(quantum)
                .with_wait_strategy(wait)
                .with_forking_handlers(forking)
                .with_max_bytes(bytes)
                .with_peer_max_bytes(peer_bytes)
                .with_overload_policy(overload)
                .with_max_age(age)
                .with_departure(departure)
                .with_panic_policy(panics);
            #[cfg(feature = "pinning")]
            let config = core.map_or(config, |core| config.with_core_affinity(core));
            #[cfg(not(feature = "pinning"))]
            let _ = core;
            quota.map_or(config, |quota| config.with_peer_quota(quota))
        })
        .boxed()
}

fn channel_configs() -> impl Strategy<Value = ChannelConfig> {
    let quarantine = (1..=u32::MAX, any_duration(), any_duration())
        .prop_map(|(panics, window, term)| Quarantine::after(panics, window).with_term(term));
    let flows = FlowType::ALL.map(|flow| option::of(flow_configs(flow == FlowType::Transport)));
    (flows, any_duration(), any_duration(), option::of(quarantine)).prop_map(
        |(flows, interval, timeout, quarantine)| {
            let config = ChannelConfig::default()
                .with_drop_notice_interval(interval)
                .with_stuck_handler_timeout(timeout)
                .with_quarantine(quarantine);
            FlowType::iter().zip(flows).fold(config, |config, (flow, said)| match said {
                Some(said) => config.with_flow(flow, said),
                None => config,
            })
        },
    )
}

proptest! {
    #[test]
    fn every_valid_configuration_reads_back_equal(config in channel_configs()) {
        prop_assert_eq!(config.validate(), Ok(()));
        prop_assert_eq!(&from_str::<ChannelConfig>(&to_string(&config).unwrap()).unwrap(), &config);
        prop_assert_eq!(&from_value::<ChannelConfig>(to_value(&config).unwrap()).unwrap(), &config);
        let text = toml::to_string(&config).unwrap();
        prop_assert_eq!(&toml::from_str::<ChannelConfig>(&text).unwrap(), &config, "{}", text);
    }

    #[test]
    fn every_valid_flow_reads_back_equal(config in flow_configs(false)) {
        prop_assert_eq!(config.validate_as("x"), Ok(()));
        prop_assert_eq!(from_str::<FlowConfig>(&to_string(&config).unwrap()).unwrap(), config);
        let text = toml::to_string(&config).unwrap();
        prop_assert_eq!(toml::from_str::<FlowConfig>(&text).unwrap(), config, "{}", text);
    }
}

#[test]
fn what_is_not_said_has_the_defaults_of_its_flow() {
    assert_eq!(from_value::<ChannelConfig>(json!({})).unwrap(), ChannelConfig::default());
    let flows =
        json!({"advert": {}, "request": {}, "chunk": {}, "retransmission": {}, "transport": {}});
    let config = from_value::<ChannelConfig>(json!({ "flows": flows })).unwrap();
    assert_eq!(config, ChannelConfig::default());
    let said = json!({"flows": {"transport": {"threads": 2}}});
    let config = from_value::<ChannelConfig>(said).unwrap();
    let transport = ChannelConfig::default().flow(FlowType::Transport);
    assert_eq!(config.flow(FlowType::Transport), transport.with_threads(2));
    assert_eq!(config.flow(FlowType::Transport).peer_quota(), 8);

    let flow = from_value::<FlowConfig>(json!({"max_inflight_requests": 7})).unwrap();
    assert_eq!(flow, FlowConfig::new(7));
    let quarantine: Quarantine = from_value(json!({"panics": 1, "window": "1s"})).unwrap();
    assert_eq!(quarantine, Quarantine::after(1, Duration::from_secs(1)));
}

#[test]
fn all_that_is_written_is_this() {
    let config = ChannelConfig::default().with_flow(FlowType::Chunk, FlowConfig::new(100));
    let mut written = to_value(&config).unwrap();
    let chunk = written["flows"]["chunk"].as_object_mut().unwrap();
    assert_eq!(chunk.remove("core_affinity"), cfg!(feature = "pinning").then_some(Value::Null));
    assert_eq!(
        written["flows"]["chunk"],
        json!({
            "max_inflight_requests": 100,
            "peer_quota": "quarter",
            "max_peers": 4096,
            "max_waiters": 64,
            "threads": 3,
            "peer_threads": 1,
            "quantum": "10us",
            "wait_strategy": { "adaptive": "200us" },
            "forking_handlers": false,
            "max_bytes": null,
            "peer_max_bytes": null,
            "overload_policy": "wait",
            "max_age": null,
            "departure": "cancel",
            "panic_policy": "contain",
        })
    );
    assert_eq!(written["flows"]["transport"]["peer_quota"], json!(8));
    assert_eq!(written["drop_notice_interval"], json!("100ms"));
    assert_eq!(written["stuck_handler_timeout"], json!("10s"));
    assert_eq!(written["quarantine"], Value::Null);
}

#[test]
fn every_figure_is_checked_and_the_error_is_that_of_the_check() {
    for (said, wrong) in [
        (json!({"threads": 0}), FlowConfig::new(9).with_threads(0)),
        (json!({"threads": 257}), FlowConfig::new(9).with_threads(257)),
        (json!({"max_inflight_requests": 1_048_577}), FlowConfig::new(1_048_577)),
        (json!({"max_waiters": 65_537}), FlowConfig::new(9).with_max_waiters(65_537)),
        (json!({"max_peers": 0}), FlowConfig::new(9).with_max_peers(0)),
        (
            json!({"quantum": "10001us"}),
            FlowConfig::new(9).with_quantum(Duration::from_micros(10_001)),
        ),
        (
            json!({"wait_strategy": {"adaptive": "11ms"}}),
            FlowConfig::new(9)
                .with_wait_strategy(WaitStrategy::Adaptive(Duration::from_millis(11))),
        ),
        (json!({"max_bytes": 0}), FlowConfig::new(9).with_max_bytes(Some(0))),
        (json!({"max_bytes": "2 TiB"}), FlowConfig::new(9).with_max_bytes(Some(2 << 40))),
        (json!({"peer_max_bytes": "0 B"}), FlowConfig::new(9).with_peer_max_bytes(Some(0))),
        (json!({"max_age": "0s"}), FlowConfig::new(9).with_max_age(Some(Duration::ZERO))),
    ] {
        let mut alone = json!({"max_inflight_requests": 9});
        alone.as_object_mut().unwrap().extend(said.as_object().unwrap().clone());
        let error = from_value::<FlowConfig>(alone).unwrap_err().to_string();
        assert_eq!(error, wrong.validate_as("this").unwrap_err().to_string());
        let error = from_value::<ChannelConfig>(json!({"flows": {"chunk": said}})).unwrap_err();
        assert_eq!(error.to_string(), wrong.validate(FlowType::Chunk).unwrap_err().to_string());
    }
    for lossy in [json!({"overload_policy": "drop_newest"}), json!({"max_age": "1s"})] {
        let error = from_value::<ChannelConfig>(json!({"flows": {"transport": lossy}}));
        let text = ConfigError::Lossy { flow: "Transport" }.to_string();
        assert_eq!(error.unwrap_err().to_string(), text);
    }
    let error = from_value::<WaitStrategy>(json!({"adaptive": "11ms"})).unwrap_err().to_string();
    assert_eq!(error, "this flow: workers that look for 11ms, over the maximum of 10ms");
    let never = json!({"panics": 0, "window": "1s"});
    let error = from_value::<Quarantine>(never.clone()).unwrap_err().to_string();
    assert_eq!(error, ConfigError::NoPanics.to_string());
    let error = from_value::<ChannelConfig>(json!({ "quarantine": never })).unwrap_err();
    assert_eq!(error.to_string(), ConfigError::NoPanics.to_string());
}

#[test]
fn a_word_that_is_not_known_is_an_error() {
    for (said, error) in [
        (json!({"flow": {}}), "unknown field `flow`"),
        (json!({"flows": {"chunks": {}}}), "unknown variant `chunks`, expected one of `advert`"),
        (json!({"flows": {"chunk": {"bytes": 1}}}), "unknown field `bytes`"),
        (json!({"flows": {"chunk": {"overload_policy": "x"}}}), "unknown variant `x`"),
        (json!({"flows": {"chunk": {"wait_strategy": "x"}}}), "unknown variant `x`"),
        (json!({"flows": {"chunk": {"peer_quota": "x"}}}), r#"string "x", expected a number of"#),
        (json!({"flows": {"chunk": {"peer_quota": -1}}}), "integer `-1`, expected a number of"),
        (json!({"flows": {"chunk": {"threads": -1}}}), "integer `-1`"),
        (json!({"flows": {"chunk": 3}}), "integer `3`, expected limits and policies of a flow"),
        (json!({"flows": 3}), "integer `3`, expected flows by name"),
        (json!(3), "integer `3`, expected limits and policies of the flows"),
        (json!({"quarantine": {"panics": 1}}), "missing field `window`"),
        (json!({"quarantine": {"panics": 1, "window": "1s", "x": 1}}), "unknown field `x`"),
    ] {
        let found = from_value::<ChannelConfig>(said.clone()).unwrap_err().to_string();
        assert!(found.contains(error), "{said}: {found}");
    }
    let error = from_value::<FlowConfig>(json!({})).unwrap_err().to_string();
    assert_eq!(error, "missing field `max_inflight_requests`");
    let error = from_str::<ChannelConfig>(r#"{"flows": {"chunk": {}, "chunk": {}}}"#).unwrap_err();
    assert!(error.to_string().contains("Chunk flow: it is there twice"), "{error}");
}

#[cfg(not(feature = "pinning"))]
#[test]
fn threads_cannot_be_pinned_without_the_feature() {
    let said = json!({"max_inflight_requests": 9, "core_affinity": 0});
    let error = from_value::<FlowConfig>(said).unwrap_err().to_string();
    assert!(error.contains("unknown field `core_affinity`"), "{error}");
}

#[test]
fn an_error_says_where_the_flow_is() {
    let text =
        "drop_notice_interval = '1s'\n\n[flows.advert]\nthreads = 1\n[flows.chunk]\nthreads = 0\n";
    let error = toml::from_str::<ChannelConfig>(text).unwrap_err();
    let place = error.span().unwrap();
    assert_eq!(text[..place.start].lines().count(), 4, "{error}");
    assert!(text[place].starts_with("[flows.chunk]"), "{error}");
}

#[test]
fn the_transport_flow_runs_one_event_of_a_peer_whatever_is_said() {
    let said = json!({"flows": {"transport": {"peer_threads": 2}}});
    let config = from_value::<ChannelConfig>(said).unwrap();
    assert_eq!(config, ChannelConfig::default());
}
