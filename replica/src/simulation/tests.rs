//! What the replicas do together, and that the world is what it says. `GOSSIP_SIMULATION_SEEDS` has more seeds tried,
//! `GOSSIP_SIMULATION_SEED` one.

use std::{env, num::NonZeroU64, ops::Range, time::Duration};

use super::*;
use crate::gossip::GossipOptions;

const SEEDS: u64 = 8;
const MEGABIT: u64 = 125_000;

fn seeds() -> Range<u64> {
    let number = |name| env::var(name).ok().map(|seed: String| seed.parse().expect("a number"));
    match number("GOSSIP_SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("GOSSIP_SIMULATION_SEEDS").unwrap_or(SEEDS),
    }
}

/// Forty replicas of eight neighbours and some chunks.
fn small(seed: u64) -> Options {
    let limit = Duration::from_secs(600);
    Options {
        seed,
        replicas: 40,
        artifacts: 3,
        artifact_bytes: 300_000,
        limit,
        ..Options::default()
    }
}

fn run_to_the_end(options: &Options) -> Report {
    let report = run(options).expect("the options can be");
    let all = report.complete == report.expected;
    assert!(all, "not all hold everything with seed {}: {report:#?}", options.seed);
    report
}

#[test]
fn equal_options_lead_to_equal_events() {
    let faults = Faults {
        hostile: 0.1,
        dead: 0.1,
        restarting: 0.1,
        joining: 0.1,
        slow: 0.1,
        partition: Duration::from_secs(6),
    };
    let options = Options { loss: 0.02, faults, ..small(7) };
    let (first, again) = (run_to_the_end(&options), run_to_the_end(&options));
    assert_eq!(first, again);
    let other = run_to_the_end(&Options { seed: 8, ..options });
    assert_ne!(first.trace, other.trace);
}

#[test]
fn what_is_sent_takes_its_time() {
    let latency = Duration::from_millis(10);
    let quiet = Options {
        replicas: 2,
        artifact_bytes: 128 << 10,
        uplink: 1_000_000,
        downlink: 10_000_000,
        min_latency: latency,
        max_latency: latency,
        ..Options::default()
    };
    // An advert, a request and a chunk travel; only the chunk has a length to speak of.
    let expected = 3 * latency + quiet.uplink_time();
    let last = |report: Report| report.last.expect("complete");
    let few = Duration::from_micros(500);
    assert!(last(run_to_the_end(&quiet)).abs_diff(expected) < few);
    // Whichever of the two rates is less counts, and only that.
    let narrow = Options { uplink: quiet.downlink, downlink: quiet.uplink, ..quiet.clone() };
    assert!(last(run_to_the_end(&narrow)).abs_diff(expected) < few);
    // A third replica gets the same over the same uplink.
    let two = run_to_the_end(&Options { replicas: 3, ..quiet.clone() });
    assert!(last(two).abs_diff(expected + quiet.uplink_time()) < few, "{two:?}");
    // What is lost is sent again, a round trip and a half later.
    let lossy = run_to_the_end(&Options { loss: 0.1, ..quiet.clone() });
    assert!(last(lossy) >= expected + 3 * latency);
    let sent = lossy.publisher_bytes as f64 / run_to_the_end(&quiet).publisher_bytes as f64;
    assert!((1.03..1.25).contains(&sent), "{sent}");
}

#[test]
fn a_partition_heals_and_all_get_everything() {
    for seed in seeds().take(3) {
        let partition = Duration::from_secs(60);
        let faults = Faults { partition, ..Faults::default() };
        let report = run_to_the_end(&Options { faults, ..small(seed) });
        assert_eq!(report.complete, 40);
        assert!(report.last.expect("complete") > partition, "it was none: {report:#?}");
        assert!(report.half.expect("complete") < partition, "it was more: {report:#?}");
    }
}

#[test]
fn a_hostile_tenth_keeps_nobody_from_completing() {
    for seed in seeds() {
        let faults = Faults { hostile: 0.1, ..Faults::default() };
        let report = run_to_the_end(&Options { faults, ..small(seed) });
        assert_eq!(report.expected, 36, "some honest ones cannot be reached with seed {seed}");
    }
}

#[test]
fn who_comes_again_or_late_gets_everything() {
    for seed in seeds().take(3) {
        let faults = Faults { dead: 0.1, restarting: 0.2, joining: 0.2, ..Faults::default() };
        let report = run_to_the_end(&Options { loss: 0.01, faults, ..small(seed) });
        assert!(report.expected > 32, "some cannot be reached: {report:#?}");
    }
}

#[test]
fn what_cannot_be_is_refused() {
    for options in [
        Options { replicas: 1, ..Options::default() },
        Options { replicas: 2_000, topology: Topology::Mesh, ..Options::default() },
        Options { topology: Topology::Neighbours(3), ..Options::default() },
        Options {
            replicas: 2,
            artifacts: 3,
            artifact_bytes: 1,
            gossip: GossipOptions { max_unnamed_bytes: 190_000, ..GossipOptions::default() },
            ..Options::default()
        },
        Options {
            replicas: 2,
            gossip: GossipOptions {
                serve_bytes_per_second: Some(NonZeroU64::MAX),
                ..GossipOptions::default()
            },
            ..Options::default()
        },
        Options { uplink: 0, ..Options::default() },
        Options { loss: 0.9, ..Options::default() },
        Options {
            faults: Faults { hostile: 0.6, dead: 0.6, ..Faults::default() },
            ..Options::default()
        },
        Options {
            faults: Faults { partition: Duration::from_secs(1), ..Faults::default() },
            ..Options::default()
        },
    ] {
        assert!(run(&options).is_err(), "{options:?}");
    }
}

/// So many files of 32 MB together, in a mesh.
fn mesh(replicas: usize, files: usize, rate: u64, own_order: bool) -> Options {
    let latency = Duration::from_millis(20);
    Options {
        replicas,
        topology: Topology::Mesh,
        artifacts: files,
        artifact_bytes: (32 << 20) / files,
        uplink: rate,
        downlink: rate,
        min_latency: latency,
        max_latency: latency,
        own_order,
        limit: Duration::from_secs(20_000),
        ..Options::default()
    }
}

/// How much was sent beyond what was lacking, as a part of that.
fn twice(options: &Options) -> f64 {
    let report = run_to_the_end(options);
    let chunks = (report.mean_bytes - report.mean_rest_bytes) * options.replicas as u64;
    let lacking = (options.artifacts * options.artifact_bytes * (options.replicas - 1)) as u64;
    chunks as f64 / lacking as f64 - 1.0
}

#[test]
fn a_slow_link_with_many_peers_sends_hardly_anything_twice() {
    // One file, which nobody can help with: all the publisher's link carries.
    let found = twice(&mesh(20, 1, 10 * MEGABIT, true));
    assert!(found < 0.01, "{found}");
    let found = twice(&mesh(20, 64, 10 * MEGABIT, true));
    assert!(found < 0.06, "{found}");
}

#[test]
fn replicas_help_each_other_because_each_has_an_order_of_its_own() {
    for (replicas, faster) in [(4, 1.3), (24, 3.0)] {
        let run = |own_order| run_to_the_end(&mesh(replicas, 64, 100 * MEGABIT, own_order));
        let (same, own) = (run(false), run(true));
        let last = |report: Report| report.last.expect("complete").as_secs_f64();
        assert!(last(own) * faster < last(same), "{own:?} after {same:?}");
        let sent = (own.publisher_bytes as f64 * faster) as u64;
        assert!(sent < same.publisher_bytes, "{own:?} after {same:?}");
    }
}
