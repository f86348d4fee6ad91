use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use crate::{
    FlowConfig, FlowType, FlowWorker, MetricsRegistry, NodeId,
    ledger::FlowLedger,
    sync::{AtomicBool, Ordering},
};

/// A series: its name and its labels, in the order in which they stand.
type Series = (String, Vec<(String, String)>);

fn text(metrics: &MetricsRegistry) -> String {
    let mut text = String::new();
    metrics.snapshot().to_openmetrics(&mut text).unwrap();
    text
}

/// Reads labels as far as the closing brace; returns what follows it.
fn labels(mut text: &str) -> (Vec<(String, String)>, &str) {
    let mut labels = Vec::new();
    loop {
        let (name, rest) = text.split_once("=\"").unwrap();
        let (mut value, mut letters) = (String::new(), rest.chars());
        loop {
            match letters.next().unwrap() {
                '"' => break,
                '\\' => match letters.next().unwrap() {
                    'n' => value.push('\n'),
                    letter @ ('\\' | '"') => value.push(letter),
                    letter => panic!("\\{letter} means nothing"),
                },
                letter => value.push(letter),
            }
        }
        labels.push((name.to_owned(), value));
        text = letters.as_str();
        match text.strip_prefix(',') {
            Some(rest) => text = rest,
            None => return (labels, text.strip_prefix('}').unwrap()),
        }
    }
}

/// Reads the text as OpenMetrics wants it, and fails where it is not.
fn parse(text: &str) -> HashMap<Series, f64> {
    let text = text.strip_suffix("# EOF\n").expect("it has an end");
    let mut kinds = BTreeMap::new();
    let (mut current, mut kind) = ("", "");
    let mut series = HashMap::new();
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            current = help.split_once(' ').unwrap().0;
        } else if let Some(typed) = line.strip_prefix("# TYPE ") {
            let (name, of) = typed.split_once(' ').unwrap();
            assert_eq!(name, current);
            assert!(kinds.insert(name, of).is_none(), "{name} comes twice");
            kind = of;
        } else if let Some(unit) = line.strip_prefix("# UNIT ") {
            let (name, unit) = unit.split_once(' ').unwrap();
            assert!(name == current && name.ends_with(&format!("_{unit}")), "{line}");
        } else {
            let end = line.find(['{', ' ']).unwrap();
            let (name, rest) = line.split_at(end);
            let (labels, rest) = match rest.strip_prefix('{') {
                Some(rest) => labels(rest),
                None => (vec![], rest),
            };
            let endings: &[&str] = match kind {
                "counter" => &["_total"],
                "gauge" => &[""],
                "histogram" => &["_bucket", "_sum", "_count"],
                kind => panic!("{kind} is no kind"),
            };
            let of_family = |ending: &&str| name.strip_suffix(*ending) == Some(current);
            assert!(endings.iter().any(of_family), "{name} in {current}");
            let value = rest.strip_prefix(' ').unwrap().parse().unwrap();
            assert!(
                series.insert((name.to_owned(), labels), value).is_none(),
                "{line} comes twice"
            );
        }
    }
    series
}

fn owned(name: &str, labels: &[(&str, &str)]) -> Series {
    let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    (name.to_owned(), labels.collect())
}

#[test]
fn the_text_says_what_a_snapshot_says() {
    let metrics = MetricsRegistry::new();
    let handler = |_: &NodeId, message: u32| assert!(message != 3, "on purpose");
    let flow = FlowWorker::new(FlowType::Chunk, &FlowConfig::new(16), &metrics, handler).unwrap();
    let before = parse(&text(&metrics));
    for message in 0..10 {
        let peer = NodeId::new([message as u8; 32]);
        assert!(futures_executor::block_on(flow.execute(peer, message)).is_ok());
    }
    assert!(flow.shutdown(std::time::Duration::from_secs(60)).is_clean());
    assert!(futures_executor::block_on(flow.execute(NodeId::new([0; 32]), 0)).is_err());

    let series = parse(&text(&metrics));
    let snapshot = metrics.snapshot();
    for (outcome, count) in snapshot.flow(FlowType::Chunk).outcomes() {
        let labels = [("flow", "Chunk"), ("outcome", outcome.into())];
        let series = series[&owned("gossip_engine_messages_total", &labels)];
        assert_eq!(series, count as f64, "{outcome}");
    }
    let of = |name: &str| series[&owned(&format!("gossip_engine_{name}"), &[("flow", "Chunk")])];
    assert_eq!((of("messages_admitted_total"), of("messages_in_flight")), (10.0, 0.0));
    assert_eq!((of("service_time_seconds_count"), of("queue_delay_seconds_count")), (10.0, 10.0));
    let dropped = owned("gossip_engine_adverts_dropped_total", &[("destination", "all_replicas")]);
    assert_eq!(series[&dropped], 0.0);
    assert_eq!(series.len(), before.len(), "a peer made a series");
}

#[test]
fn a_time_is_in_the_buckets_from_its_own_to_the_last() {
    let registry = MetricsRegistry::new();
    let ledger = Arc::new(FlowLedger::new(3));
    registry.register(FlowType::Chunk.name(), &ledger);
    ledger.workers[0].ran(3_000, 700_000_000, false);
    ledger.workers[1].ran(40_000, 20_000_000_000, true);
    let series = parse(&text(&registry));
    let count = |name: &str, le: &str| {
        let name = format!("gossip_engine_{name}_seconds_bucket");
        series[&owned(&name, &[("flow", "Chunk"), ("le", le)])]
    };
    let delays = ["1e-6", "5e-6", "1e-5", "5e-5", "10.0", "+Inf"];
    assert_eq!(delays.map(|le| count("queue_delay", le)), [0.0, 1.0, 1.0, 2.0, 2.0, 2.0]);
    let services = ["0.5", "1.0", "10.0", "+Inf"].map(|le| count("service_time", le));
    assert_eq!(services, [0.0, 1.0, 1.0, 2.0]);
    let sum = owned("gossip_engine_service_time_seconds_sum", &[("flow", "Chunk")]);
    assert!((series[&sum] / 20.7 - 1.0).abs() < 0.01, "{}", series[&sum]);
}

#[test]
fn a_name_of_any_letters_comes_back() {
    const NAME: &str = "a \"name\" = {x},\nof C:\\flows";
    let registry = MetricsRegistry::new();
    registry.register(NAME, &Arc::new(FlowLedger::new(1)));
    let text = text(&registry);
    assert!(text.contains(r#"{flow="a \"name\" = {x},\nof C:\\flows"}"#), "{text}");
    assert!(parse(&text).contains_key(&owned("gossip_engine_messages_held", &[("flow", NAME)])));
}

#[test]
fn no_counter_falls_while_messages_end_in_all_ways() {
    const SCRAPES: usize = 300;
    let metrics = MetricsRegistry::new();
    let handler = |_: &NodeId, panics: bool| {
        if panics {
            std::panic::resume_unwind(Box::new(()));
        }
    };
    let config = FlowConfig::new(4).with_threads(2);
    let flow = FlowWorker::new(FlowType::Chunk, &config, &metrics, handler).unwrap();
    let is_over = AtomicBool::new(false);
    let grows =
        |name: &str| ["_total", "_sum", "_count", "_bucket"].iter().any(|s| name.ends_with(s));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0_u32;
            // Relaxed: it says nothing about any other memory.
            while !is_over.load(Ordering::Relaxed) {
                number = number.saturating_add(1);
                // Where few are handled, a count that is short by one is seen to fall.
                let submitted = flow.execute(NodeId::new([number as u8; 32]), number > 10);
                assert!(futures_executor::block_on(submitted).is_ok());
            }
        });
        let scrapes = scope.spawn(|| {
            let mut before = parse(&text(&metrics));
            for _ in 0..SCRAPES {
                let now = parse(&text(&metrics));
                for (series, value) in now.iter().filter(|((name, _), _)| grows(name)) {
                    assert!(*value >= before[series], "{series:?} falls from {}", before[series]);
                }
                before = now;
            }
        });
        let scraped = scrapes.join();
        // Whatever came of it, so that the other thread ends.
        is_over.store(true, Ordering::Relaxed);
        if let Err(panic) = scraped {
            std::panic::resume_unwind(panic);
        }
    });
}
