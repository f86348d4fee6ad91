use std::collections::{HashMap, HashSet};

use gossip_engine::{FlowConfig, FlowWorker, NodeId};

use super::*;
use crate::http::{
    Sampler,
    notices::Noted,
    reading::Reading,
    tests_support::{peer, reading},
};

fn text(readings: Vec<Reading>, place: usize) -> String {
    let sample = Sampler::new(0.0).take(readings.into_iter(), Noted::default(), Instant::now());
    render(&Board::new(), Arc::new(sample), place, Instant::now()).unwrap()
}

/// By name and labels, each there once.
fn series(text: &str) -> HashMap<&str, f64> {
    let mut series = HashMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(series.insert(name, value.parse().unwrap()).is_none(), "{name} is there twice");
    }
    series
}

#[test]
fn it_says_what_was_read() {
    let mut reading = reading();
    // The engine's part has the flows that were made.
    let (config, handler) = (FlowConfig::new(1), |_: &NodeId, (): ()| {});
    let flow = FlowWorker::new(FlowType::Chunk, &config, &reading.registry, handler).unwrap();
    reading.peers = vec![peer(1, PeerState::Connected), peer(2, PeerState::ShutOut)];
    (reading.peers[0].bytes_in, reading.peers[1].bytes_in) = (100, 11);
    (reading.gossip.wanted, reading.gossip.missing_bytes) = (3, 4_000);
    reading.gossip.fetched.hash_mismatches = 9;
    reading.store.free_bytes = Some(77);
    let text = text(vec![reading], 0);
    drop(flow);
    let series = series(&text);
    for (name, value) in [
        ("gossip_replica_peers{state=\"connected\"}", 1.0),
        ("gossip_replica_peers{state=\"shut_out\"}", 1.0),
        ("gossip_replica_peers{state=\"away\"}", 0.0),
        ("gossip_replica_udp_received_bytes_total", 111.0),
        ("gossip_replica_artifacts_missing", 3.0),
        ("gossip_replica_missing_bytes", 4_000.0),
        ("gossip_replica_refusals_total{kind=\"hash_mismatches\"}", 9.0),
        ("gossip_replica_store_free_bytes", 77.0),
        ("gossip_replica_ready", 0.0),
        ("gossip_replica_healthy", 1.0),
        ("gossip_replica_build_info{version=\"0.1.0\"}", 1.0),
        ("gossip_engine_messages_in_flight{flow=\"Chunk\"}", 0.0),
    ] {
        assert_eq!(series.get(name), Some(&value), "{name}");
    }
    assert!(text.ends_with("# EOF\n") && text.matches("# EOF").count() == 1);
    for meta in [
        "# HELP gossip_replica_ready ",
        "# TYPE gossip_replica_ready gauge",
        "# UNIT gossip_replica_missing_bytes bytes",
    ] {
        assert!(text.contains(meta), "{meta}");
    }
    if cfg!(target_os = "linux") {
        assert!(series["process_resident_memory_bytes"] > 1e5);
        assert!(series["process_open_fds"] >= 3.0);
        assert!(series["process_cpu_seconds_total"] >= 0.0);
    }
}

#[test]
fn peers_and_artifacts_make_no_series() {
    let mut many = reading();
    many.peers = (0..200).map(|number| peer(number, PeerState::Away)).collect();
    many.store.free_bytes = Some(1);
    let mut none = reading();
    none.store.free_bytes = Some(1);
    let (many, none) = (text(vec![many], 0), text(vec![none], 0));
    let names =
        |text: &str| series(text).keys().map(|name| (*name).to_owned()).collect::<HashSet<_>>();
    assert_eq!(names(&many), names(&none));
}

#[test]
fn the_older_text_has_a_help_and_a_type_for_the_very_name_of_each_sample() {
    let open = text(vec![reading()], 0);
    let classic = classic(&open);
    let mut types = HashMap::new();
    for line in classic.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        assert!(types.insert(name, kind).is_none(), "{name} has two types");
        assert!(classic.contains(&format!("# HELP {name} ")), "{name}");
        assert!(["counter", "gauge", "histogram"].contains(&kind), "{kind}");
    }
    assert_eq!(series(&classic), series(&open));
    for name in series(&classic).keys() {
        let name = name.split('{').next().unwrap();
        let of_histogram =
            ["_bucket", "_sum", "_count"].iter().filter_map(|end| name.strip_suffix(end));
        let known = types.contains_key(name)
            || of_histogram.into_iter().any(|name| types.get(name) == Some(&"histogram"));
        assert!(known, "{name} has no type");
    }
    assert!(!classic.contains("# UNIT") && !classic.contains("# EOF"));
}
