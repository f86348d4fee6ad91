//! How the protocol scales: how long an artifact takes to half and to all of many replicas, and what that costs each.
//!
//! Every row is a simulation in virtual time, so the figures are the same on every machine. Only
//! the last column is the machine's: how long the row took.
//!
//! ```text
//! cargo run --release -p gossip-replica --features simulation --example scale
//! cargo run --release -p gossip-replica --features simulation --example scale -- --replicas 1000 --neighbours 8 \
//!     --bytes 2097152 --scenarios quiet,hostile --seeds 5
//! ```
//!
//! Rows go to standard output as a table, and as CSV to `target/results/scale.csv`. Where a part of the replicas cannot
//! be reached because of its faults, it is not waited for.

#![expect(clippy::print_stdout, reason = "a table is its purpose")]

#[path = "../../benches/harness/folder.rs"]
mod folder;

use std::{
    fmt,
    fs::{self, File},
    io::Write as _,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::{Parser, ValueEnum};
use gossip_replica::simulation::{Faults, Options, Theory, Topology, run};

/// Meshes of more replicas than this, and those where something goes wrong, are left out of the usual table: they take
/// too long for what they say.
const USUAL_MESH: usize = 316;

#[derive(Debug, Parser)]
#[command(
    about = "How long an artifact takes to many replicas, and what it costs each, simulated."
)]
struct Arguments {
    /// How many replicas.
    #[arg(long, value_delimiter = ',', default_values_t = [10, 32, 100, 316, 1_000])]
    replicas: Vec<usize>,
    /// How many neighbours each has; 0 for a mesh. Without it 8, and where nothing goes wrong, up to 316
    /// replicas, a mesh as well.
    #[arg(long, value_delimiter = ',')]
    neighbours: Vec<usize>,
    /// The size of an artifact, in bytes.
    #[arg(long, value_delimiter = ',', default_values_t = [1 << 10, 2 << 20, 32 << 20])]
    bytes: Vec<usize>,
    /// How many artifacts are published at once.
    #[arg(long, default_value_t = 1)]
    artifacts: usize,
    /// What goes wrong.
    #[arg(long, value_delimiter = ',', default_values_t = Scenario::USUAL)]
    scenarios: Vec<Scenario>,
    /// What each sends and receives, in bytes a second.
    #[arg(long, default_value_t = 125_000_000)]
    rate: u64,
    /// The least latency between two, in milliseconds.
    #[arg(long, default_value_t = 1)]
    min_latency: u64,
    /// The most latency between two, in milliseconds.
    #[arg(long, default_value_t = 50)]
    max_latency: u64,
    /// With how many seeds; a row each.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// All fetch in the same order, to measure what it gains that each has its own.
    #[arg(long)]
    same_order: bool,
    /// After how many virtual seconds a simulation ends in any case.
    #[arg(long, default_value_t = 600)]
    limit: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Scenario {
    /// Nothing.
    Quiet,
    /// One packet of a hundred is lost.
    Loss,
    /// A tenth dies within a second of the publication, unseen.
    Dead,
    /// Half are cut off for a minute.
    Partition,
    /// A tenth stalls, lies or floods.
    Hostile,
    /// A tenth has a sixteenth of the rate.
    Slow,
    /// A tenth dies and comes again, another joins late.
    Churn,
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value().ok_or(fmt::Error)?;
        f.write_str(value.get_name())
    }
}

impl Scenario {
    const USUAL: [Self; 5] = [Self::Quiet, Self::Loss, Self::Dead, Self::Partition, Self::Hostile];

    fn apply(self, options: &mut Options) {
        let faults = &mut options.faults;
        match self {
            Self::Quiet => {}
            Self::Loss => options.loss = 0.01,
            Self::Dead => faults.dead = 0.1,
            Self::Partition => faults.partition = Duration::from_secs(60),
            Self::Hostile => faults.hostile = 0.1,
            Self::Slow => faults.slow = 0.1,
            Self::Churn => *faults = Faults { restarting: 0.1, joining: 0.1, ..*faults },
        }
    }
}

const COLUMNS: [&str; 23] = [
    "replicas",
    "neighbours",
    "bytes",
    "artifacts",
    "scenario",
    "seed",
    "expected",
    "complete",
    "half_s",
    "most_s",
    "last_s",
    "half_units",
    "last_units",
    "at_once_units",
    "doubling_units",
    "swarm_units",
    "mean_bytes",
    "mean_rest_bytes",
    "publisher_bytes",
    "most_bytes",
    "duplicate_bytes",
    "events",
    "wall_s",
];

fn main() -> ExitCode {
    match table(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn table(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let folder = folder::results()?;
    fs::create_dir_all(&folder)?;
    let mut csv = File::create(folder.join("scale.csv"))?;
    writeln!(csv, "{}", COLUMNS.join(","))?;
    println!("| {} |\n|{}", COLUMNS.join(" | "), "---|".repeat(COLUMNS.len()));
    for bytes in &arguments.bytes {
        for scenario in &arguments.scenarios {
            for replicas in &arguments.replicas {
                for topology in topologies(arguments, *replicas, *scenario) {
                    for seed in arguments.seed..arguments.seed + arguments.seeds {
                        let mut options = options(arguments, *replicas, topology, *bytes, seed);
                        scenario.apply(&mut options);
                        let row = row(&options, *scenario)?;
                        println!("| {} |", row.join(" | "));
                        writeln!(csv, "{}", row.join(","))?;
                    }
                }
            }
        }
    }
    Ok(())
}

fn topologies(arguments: &Arguments, replicas: usize, scenario: Scenario) -> Vec<Topology> {
    let chosen = |neighbours: &usize| match neighbours {
        0 => Topology::Mesh,
        neighbours => Topology::Neighbours(*neighbours),
    };
    match &arguments.neighbours[..] {
        [] if replicas > USUAL_MESH || scenario != Scenario::Quiet => vec![Topology::Neighbours(8)],
        [] => vec![Topology::Mesh, Topology::Neighbours(8)],
        neighbours => neighbours.iter().map(chosen).collect(),
    }
}

fn options(
    arguments: &Arguments,
    replicas: usize,
    topology: Topology,
    bytes: usize,
    seed: u64,
) -> Options {
    Options {
        seed,
        replicas,
        topology,
        artifacts: arguments.artifacts,
        artifact_bytes: bytes,
        uplink: arguments.rate,
        downlink: arguments.rate,
        min_latency: Duration::from_millis(arguments.min_latency),
        max_latency: Duration::from_millis(arguments.max_latency),
        own_order: !arguments.same_order,
        limit: Duration::from_secs(arguments.limit),
        ..Options::default()
    }
}

fn row(
    options: &Options,
    scenario: Scenario,
) -> Result<[String; COLUMNS.len()], Box<dyn std::error::Error>> {
    let began = Instant::now();
    let report = run(options)?;
    let wall = began.elapsed();
    let theory = Theory::of(options);
    let unit = options.uplink_time().as_secs_f64();
    let seconds = |time: Option<Duration>| {
        time.map_or(String::new(), |time| format!("{:.3}", time.as_secs_f64()))
    };
    let units = |time: Option<Duration>| {
        time.map_or(String::new(), |time| format!("{:.2}", time.as_secs_f64() / unit))
    };
    let neighbours = match options.topology {
        Topology::Mesh => "mesh".to_owned(),
        Topology::Neighbours(neighbours) => neighbours.to_string(),
    };
    Ok([
        options.replicas.to_string(),
        neighbours,
        options.artifact_bytes.to_string(),
        options.artifacts.to_string(),
        scenario.to_string(),
        options.seed.to_string(),
        report.expected.to_string(),
        report.complete.to_string(),
        seconds(report.half),
        seconds(report.most),
        seconds(report.last),
        units(report.half),
        units(report.last),
        format!("{:.1}", theory.at_once),
        format!("{:.2}", theory.doubling),
        format!("{:.2}", theory.swarm),
        report.mean_bytes.to_string(),
        report.mean_rest_bytes.to_string(),
        report.publisher_bytes.to_string(),
        report.most_bytes.to_string(),
        report.fetched.duplicate_bytes.to_string(),
        report.events.to_string(),
        format!("{:.2}", wall.as_secs_f64()),
    ])
}
