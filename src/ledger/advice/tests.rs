use super::*;

const NONE: u64 = u64::MAX;

fn usage(bound: u64, in_flight: u64) -> Usage {
    Usage {
        bound: Amount { items: bound, bytes: NONE },
        in_flight: Amount { items: in_flight, bytes: 0 },
    }
}

/// One message of one byte of a lane that is as full as its flow.
fn drop_one(excess: &Excess, full: Usage, of_lane: u64) {
    excess.record(1, full, full, Amount { items: of_lane, bytes: of_lane });
}

fn advised(excess: &Excess, bound: u64) -> Option<usize> {
    let bound = Amount { items: bound, bytes: NONE };
    excess.advice(bound, bound)?.max_inflight_requests
}

/// Looks once a period, from a moment on.
fn look(excess: &Excess, from: u64, periods: u64, is_empty: bool) {
    let period = nanos(WATCH_PERIOD);
    (0..periods).for_each(|look| excess.look(from + look * period, || is_empty, || 999_000));
}

#[test]
fn an_excess_stays_until_the_flow_was_empty_for_twice_as_long_as_it_takes() {
    let excess = Excess::default();
    let full = usage(10, 10);
    (1..=100).for_each(|number| drop_one(&excess, full, number));
    assert_eq!(advised(&excess, 10), Some(10 + 100 + 34));
    // A hundred messages of a millisecond take four periods of empty time. What is late counts for one.
    let overload = excess.overload();
    look(&excess, 1_000, 50, false);
    look(&excess, 10_000_000_000, 3, true);
    assert_eq!(excess.overload(), overload);
    drop_one(&excess, full, 101);
    assert_eq!(advised(&excess, 10), Some(10 + 101 + 34));
    look(&excess, 20_000_000_000, 2, true);
    assert_eq!(excess.overload(), overload + 1);
    drop_one(&excess, full, 1);
    assert_eq!(advised(&excess, 10), Some(10 + 101 + 34), "what was once lacking is kept");
    assert_eq!(excess.advice(full.bound, full.bound).unwrap().drops, 102);
    excess.reset();
    assert_eq!(advised(&excess, 10), None);
}

#[test]
fn the_rest_in_one_overload_does_not_count_in_the_next() {
    let excess = Excess::default();
    let drop_all = || (1..=100).for_each(|number| drop_one(&excess, usage(10, 10), number));
    drop_all();
    // The first look begins, and three of the four periods follow.
    look(&excess, 1_000, 4, true);
    excess.reset();
    let overload = excess.overload();
    drop_all();
    assert_eq!(advised(&excess, 10), Some(10 + 100 + 34), "nor does its excess");
    let again = 10_000_000_000;
    look(&excess, again, 4, true);
    assert_eq!(excess.overload(), overload);
    look(&excess, again + 4 * nanos(WATCH_PERIOD), 1, true);
    assert_eq!(excess.overload(), overload + 1);
}

#[test]
fn a_bound_is_advised_if_it_was_near() {
    let excess = Excess::default();
    let flow = Usage {
        bound: Amount { items: 100, bytes: 1_000 },
        in_flight: Amount { items: 10, bytes: 1_200 },
    };
    let lane = Usage { bound: Amount { items: 10, bytes: NONE }, ..flow };
    excess.record(500, flow, lane, Amount { items: 1, bytes: 500 });
    let advice = excess.advice(flow.bound, lane.bound).unwrap();
    // The bytes are those that were dropped, and those that are beyond the bound already.
    let expected = Advice {
        drops: 1,
        max_inflight_requests: None,
        peer_quota: Some(10 + 1 + 1),
        max_bytes: Some(1_000 + 700 + 234),
        peer_max_bytes: None,
    };
    assert_eq!(advice, expected);
    let said = "a peer's quota of 12 and a bound of 1934 bytes would have avoided 1 drop";
    assert_eq!(advice.to_string(), said);
}

#[test]
fn what_no_bound_avoids_is_not_advised() {
    let excess = Excess::default();
    let most = FlowConfig::MAX_INFLIGHT_REQUESTS as u64;
    drop_one(&excess, usage(most, most), 1);
    assert_eq!(excess.advice(Amount { items: most, bytes: NONE }, Amount::default()), None);
}

#[test]
fn of_two_flows_the_larger_is_enough() {
    let one = Advice { drops: 1, max_inflight_requests: Some(7), ..Advice::default() };
    let other = Advice { drops: 2, max_inflight_requests: Some(5), max_bytes: Some(3), ..one };
    let mut both = one;
    both.merge(&other);
    assert_eq!(both, Advice { drops: 3, max_inflight_requests: Some(7), ..other });
    let said = "a bound of 7 and a bound of 3 bytes would have avoided 3 drops";
    assert_eq!(both.to_string(), said);
}
