//! The scenes, their figures and their limits.

use std::{
    env,
    process::ExitCode,
    thread::sleep,
    time::{Duration, Instant},
};

use tokio::runtime::Runtime;

use crate::{
    cluster::{Cluster, PORT},
    line::{Rate, Weather},
    node::{Node, content, contents, until_all_hold},
    router::Router,
};

const HOSTS: usize = 5;
/// The replica's own default, in bytes.
const CHUNK_BYTES: u32 = 128 << 10;
/// How long it is waited for what is measured. A figure that is not there by then is missed.
const PATIENCE: Duration = Duration::from_secs(300);
const LOOK_EVERY: Duration = Duration::from_millis(5);
const PARTITION: Duration = Duration::from_secs(100);
const QUICK_PARTITION: Duration = Duration::from_secs(10);
/// Chance is not the same in three runs.
const SEEDS: u64 = 3;
/// The place that a host moves to.
const ELSEWHERE: u8 = 100;

/// Whether each figure so far is within its limit.
struct Report {
    within: bool,
}

impl Report {
    fn figure(&mut self, scene: &str, took: Duration, limit: Option<Duration>, remark: &str) {
        let within = limit.is_none_or(|limit| took <= limit);
        self.within &= within;
        let limit = limit.map(|limit| format!("limit {:.2} s", limit.as_secs_f64()));
        let limit = limit.unwrap_or_else(|| "no limit".to_owned());
        let verdict = if within { "" } else { "  MISSED" };
        println!("{scene:<58} {:>7.2} s, {limit}{verdict}{remark}", took.as_secs_f64());
    }
}

/// 100 Mbit/s, a queue of 50 ms, and so many milliseconds of round trip.
fn weather(round_trip: u64, loss_permille: u64, seed: u64) -> Weather {
    Weather {
        loss_permille,
        delay_micros: round_trip * 500..round_trip * 500,
        rate: Some(Rate { bits_per_second: 100_000_000, queue_bytes: 100 * 125 * 50 }),
        seed,
        ..Weather::default()
    }
}

/// Runs all; the status is 1 if a limit is missed.
pub(crate) fn run() -> ExitCode {
    let quick = env::var_os("GOSSIP_LAB_QUICK").is_some_and(|value| value == "1");
    let seeds = if quick { 1 } else { SEEDS };
    let runtime = Runtime::new().unwrap();
    let _within = runtime.enter();
    let mut report = Report { within: true };
    match scenes(seeds, if quick { QUICK_PARTITION } else { PARTITION }, &mut report) {
        Some(()) if !report.within => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}

/// `None` where there are no network namespaces.
fn scenes(seeds: u64, partition: Duration, report: &mut Report) -> Option<()> {
    for (percent, limit) in [(0, None), (1, Some(2)), (5, Some(5))] {
        for seed in 0..seeds {
            let (took, remark) = file(8 << 20, 2, &weather(50, percent * 10, seed))?;
            let scene = format!("8 MiB to one, round trip 50 ms, loss {percent} %, seed {seed}");
            report.figure(&scene, took, limit.map(Duration::from_secs), &remark);
        }
    }
    let (whole, remark) = file(64 << 20, HOSTS, &weather(100, 0, 0))?;
    report.figure("64 MiB to four, round trip 100 ms, loss 0 %", whole, None, &remark);
    for seed in 0..seeds {
        let (took, remark) = file(64 << 20, HOSTS, &weather(100, 10, seed))?;
        let scene = format!("64 MiB to four, round trip 100 ms, loss 1 %, seed {seed}");
        report.figure(&scene, took, Some(2 * whole), &remark);
    }
    let took = part(partition)?;
    let scene = format!("five hold all after a partition of {} s", partition.as_secs());
    report.figure(&scene, took, Some(Duration::from_secs(3)), "");
    for (host, which) in [(0, "smaller"), (1, "larger")] {
        let took = moves(host)?;
        let scene = format!("both hold all after the {which} id has moved");
        report.figure(&scene, took, Some(Duration::from_secs(10)), "");
    }
    Some(())
}

/// How long a file takes from when its publisher holds it to when all do, and what the lines have lost.
fn file(bytes: usize, hosts: usize, weather: &Weather) -> Option<(Duration, String)> {
    let mut cluster = Cluster::new("the lab", hosts)?;
    let router = Router::between(&cluster.network, hosts, PORT, weather);
    cluster.nodes.iter_mut().for_each(|node| node.chunk_bytes = CHUNK_BYTES);
    cluster.start();
    let nodes: Vec<&Node> = cluster.nodes.iter().collect();
    // Whoever holds this is connected.
    nodes[0].publish(0..1);
    until_all_hold(&nodes, 0..1);
    let bytes: Vec<u8> = (0..bytes as u64 / 8).flat_map(u64::to_be_bytes).collect();
    nodes[0].publish_as("large", &bytes);
    let published = until(Instant::now(), || nodes[0].count() == 2);
    assert!(published < PATIENCE, "the publisher takes its own file");
    let took = until(Instant::now(), || nodes.iter().all(|node| node.count() == 2));
    let expected = [content(0), bytes].into();
    assert!(took >= PATIENCE || nodes.iter().all(|node| node.held() == expected), "as published");
    let (lost, overflown) = router.losses();
    let missed = match Router::missed(&cluster.network) {
        0 => String::new(),
        missed => format!(", and the lab itself has lost {missed}"),
    };
    Some((took, format!("  (datagrams: {lost} lost, {overflown} overflown{missed})")))
}

/// How long five take to hold all that two halves have published, from when they are one network again.
fn part(lasts: Duration) -> Option<Duration> {
    let mut cluster = Cluster::new("the lab", HOSTS)?;
    cluster.start();
    let nodes: Vec<&Node> = cluster.nodes.iter().collect();
    nodes[0].publish(0..3);
    until_all_hold(&nodes, 0..3);
    let began = Instant::now();
    let halves = [&nodes[..3], &nodes[3..]];
    cluster.network.part(&[3, 4]);
    nodes[0].publish(3..6);
    nodes[4].publish(6..8);
    let apart = until(began, || {
        halves[0].iter().all(|node| node.count() == 6)
            && halves[1].iter().all(|node| node.count() == 5)
    });
    assert!(apart < PATIENCE, "each half holds its own");
    sleep(lasts.saturating_sub(apart));
    assert_eq!((nodes[0].count(), nodes[4].count()), (6, 5), "the network is apart");
    let healed = Instant::now();
    cluster.network.heal();
    let took = until(healed, || nodes.iter().all(|node| node.count() == 8));
    assert!(took >= PATIENCE || nodes.iter().all(|node| node.held() == contents(0..8)));
    Some(took)
}

/// How long two take to hold what each publishes when one has moved, with the time that the publishing takes.
fn moves(host: usize) -> Option<Duration> {
    let mut cluster = Cluster::new("the lab", 2)?;
    cluster.start();
    let nodes: Vec<&Node> = cluster.nodes.iter().collect();
    nodes[1].publish(0..1);
    until_all_hold(&nodes, 0..1);
    let moved = Instant::now();
    cluster.network.move_to(host, ELSEWHERE);
    nodes[0].publish(1..2);
    nodes[1].publish(2..3);
    let took = until(moved, || nodes.iter().all(|node| node.count() == 3));
    assert!(took >= PATIENCE || nodes.iter().all(|node| node.held() == contents(0..3)));
    Some(took)
}

/// How long after `began` it happens; [`PATIENCE`] if it does not.
fn until(began: Instant, happened: impl Fn() -> bool) -> Duration {
    while !happened() {
        if began.elapsed() >= PATIENCE {
            return PATIENCE;
        }
        sleep(LOOK_EVERY);
    }
    began.elapsed()
}
