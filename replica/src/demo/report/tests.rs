use super::*;

#[test]
fn durations_are_short() {
    for (nanos, text) in [
        (0, "0ns"),
        (999, "999ns"),
        (1_000, "1.0µs"),
        (9_949, "9.9µs"),
        (9_950, "10µs"),
        (999_499, "999µs"),
        (999_500, "1.0ms"),
        (59_900_000, "60ms"),
        (999_500_000, "1.0s"),
        (60_000_000_000, "60s"),
    ] {
        assert_eq!(duration(nanos), text);
        assert!(text.chars().count() <= 6);
    }
}

#[test]
fn the_tables_fit_into_a_hundred_columns() {
    let mut report =
        Report::new(4, &Published::default(), Duration::from_secs(3), &MetricsSnapshot::default());
    report.bytes = 10 << 40;
    report.artifacts = 10_000_000;
    for flow in report.flows.values_mut() {
        (flow.handled, flow.held_back, flow.dropped) = (99_999_999, 999_999, 999_999);
        let worst = Quantiles { p50: 999_499, p99: 999_499, p999: 999_499 };
        (flow.wait_ns, flow.service_ns) = (worst, worst);
    }
    let text = report.to_string();
    let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
    assert!(widest <= 100, "{widest}\n{text}");
    assert!(text.ends_with(
        "verified: 4 replicas hold 10000000 artifacts, every file compared byte for byte"
    ));
}

#[test]
fn json_is_one_line_of_finite_numbers() {
    let report = Report::new(2, &Published::default(), Duration::ZERO, &MetricsSnapshot::default());
    let json = serde_json::to_string(&report).unwrap();
    assert!(!json.contains('\n') && !json.contains("null"), "{json}");
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["verified"], true);
    assert_eq!(json["flows"]["Broadcast"]["wait_ns"]["p99.9"], 0);
}
