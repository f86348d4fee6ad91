//! Long, slow and lossy lines: how long a file takes, and how much of it is sent in vain.

use std::time::Duration;

use super::{
    fetch::{Fetch, Fetched},
    line::{Rate, Weather},
};

/// Chance is not the same in three runs.
const SEEDS: u64 = 3;

/// A line of so many megabits a second, milliseconds of round trip, and losses of a thousand datagrams. Its
/// queue holds 50 ms.
fn line(megabits: u64, round_trip: u64, loss_permille: u64) -> Weather {
    Weather {
        loss_permille,
        delay_micros: round_trip * 500..round_trip * 500,
        rate: Some(rate(megabits, 50)),
        ..Weather::default()
    }
}

/// So many megabits a second, and a queue of so many milliseconds.
fn rate(megabits: u64, queue: u64) -> Rate {
    Rate { bits_per_second: megabits * 1_000_000, queue_bytes: megabits * 125 * queue }
}

async fn fetch(mebibytes: u64, fetchers: usize, weather: &Weather) -> Fetched {
    Fetch { bytes: mebibytes << 20, fetchers, weather: weather.clone(), ..Fetch::default() }
        .run()
        .await
}

async fn assert_within(limit: Duration, mebibytes: u64, fetchers: usize, weather: Weather) {
    for seed in 0..SEEDS {
        let fetched = fetch(mebibytes, fetchers, &Weather { seed, ..weather.clone() }).await;
        assert!(fetched.took <= limit, "seed {seed}: {fetched:?}, not within {limit:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_line_carries_a_file_whatever_it_loses() {
    assert_within(Duration::from_millis(1500), 8, 1, line(100, 50, 0)).await;
    assert_within(Duration::from_secs(2), 8, 1, line(100, 50, 10)).await;
    assert_within(Duration::from_secs(5), 8, 1, line(100, 50, 50)).await;
}

/// A window of a stream of 1 MiB lets 10 MB a second through.
#[tokio::test(start_paused = true)]
async fn a_fast_line_is_not_held_up_by_windows() {
    assert_within(Duration::from_millis(2700), 32, 1, line(1000, 100, 0)).await;
}

#[tokio::test(start_paused = true)]
async fn four_peers_share_a_line_that_loses() {
    let whole = fetch(16, 4, &line(100, 100, 0)).await;
    let lossy = fetch(16, 4, &line(100, 100, 10)).await;
    assert!(lossy.took <= 2 * whole.took, "{lossy:?}, without loss {whole:?}");
}

/// Datagrams that overtake each other, by up to 10 ms, are not lost.
#[tokio::test(start_paused = true)]
async fn what_is_overtaken_is_not_lost() {
    let weather = Weather { delay_micros: 20_000..30_000, ..line(100, 50, 0) };
    assert_within(Duration::from_secs(2), 8, 1, weather).await;
}

/// A delay that changes all the time is no queue of ours. One that is taken for it takes minutes.
#[tokio::test(start_paused = true)]
async fn a_delay_that_changes_is_no_queue() {
    let weather = Weather { delay_micros: 20_000..60_000, in_order: true, ..line(100, 50, 0) };
    assert_within(Duration::from_secs(15), 8, 1, weather).await;
}

/// A controller that only looks for more, as QUIC's own BBR, fills the queue until it overflows.
#[tokio::test(start_paused = true)]
async fn little_is_sent_in_vain() {
    for (mebibytes, fetchers, weather) in [
        (16, 1, line(100, 50, 0)),
        (16, 1, Weather { rate: Some(rate(100, 5)), ..line(100, 50, 0) }),
        (1, 16, line(10, 50, 0)),
        (32, 1, Weather { rate: Some(rate(1000, 5)), ..line(1000, 1, 0) }),
    ] {
        let fetched = fetch(mebibytes, fetchers, &weather).await;
        let datagrams = (mebibytes << 20) * fetchers as u64 / 1400;
        assert!(fetched.overflown <= datagrams / 5, "{weather:?}: {fetched:?}, of {datagrams}");
        let rate = weather.rate.expect("each line has a rate").bits_per_second;
        let ideal = ((mebibytes << 23) * fetchers as u64) as f64 / rate as f64;
        assert!(fetched.took.as_secs_f64() <= 2.0 * ideal, "{weather:?}: {fetched:?}");
    }
}

/// Prints what lines carry. Run by hand: `cargo test -p gossip-replica --lib lab -- --ignored --nocapture`.
#[tokio::test(start_paused = true)]
#[ignore = "a table for those who choose the numbers"]
#[expect(clippy::print_stdout, reason = "the table is its purpose")]
async fn table() {
    let lines =
        [(8, 1, 100, 50), (8, 1, 100, 100), (64, 1, 1000, 100), (64, 4, 100, 100), (8, 1, 10, 50)];
    let with_losses = lines.into_iter().flat_map(|(mebibytes, fetchers, megabits, round_trip)| {
        [0, 10, 50].map(|loss| {
            let name = format!("{megabits} Mbit/s, {round_trip} ms, loss {} %", loss / 10);
            (name, mebibytes, fetchers, line(megabits, round_trip, loss))
        })
    });
    let named = |name: &str, weather| (name.to_owned(), 32, 1, weather);
    let reordered = Weather { delay_micros: 20_000..30_000, ..line(100, 50, 0) };
    let jitter = Weather { delay_micros: 20_000..60_000, in_order: true, ..line(100, 50, 0) };
    let odd = [
        named(
            "100 Mbit/s, 50 ms, queue of 5 ms",
            Weather { rate: Some(rate(100, 5)), ..line(100, 50, 0) },
        ),
        named(
            "100 Mbit/s, 50 ms, queue of 500 ms",
            Weather { rate: Some(rate(100, 500)), ..line(100, 50, 0) },
        ),
        named("100 Mbit/s, 40 to 60 ms, reordered", reordered),
        named("100 Mbit/s, 40 to 120 ms, in order", jitter),
        named(
            "1000 Mbit/s, 1 ms, queue of 5 ms",
            Weather { rate: Some(rate(1000, 5)), ..line(1000, 1, 0) },
        ),
        named("20 Mbit/s, 600 ms, loss 0.5 %", line(20, 600, 5)),
        ("10 Mbit/s, 50 ms".to_owned(), 1, 16, line(10, 50, 0)),
    ];
    for (name, mebibytes, fetchers, weather) in with_losses.chain(odd) {
        let fetched = fetch(mebibytes, fetchers, &Weather { seed: 7, ..weather }).await;
        println!(
            "{mebibytes:>3} MiB to {fetchers:>2}, {name:<36}: {:>7.2} s, lost {:>5}, overflown {:>5}",
            fetched.took.as_secs_f64(),
            fetched.lost,
            fetched.overflown,
        );
    }
}
