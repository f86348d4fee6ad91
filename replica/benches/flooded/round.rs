//! One round: replicas of its own, the files that one of them publishes, and the fourth peer.

use std::{
    collections::BTreeSet,
    fs, io,
    path::PathBuf,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use gossip_engine::{ArtifactId, FlowSnapshot, MetricsSnapshot, Outcome};
use gossip_replica::replica::Replica;
use hdrhistogram::Histogram;
use tempfile::TempDir;
use tokio::{
    runtime::{self, Runtime},
    sync::oneshot,
};

use crate::{
    advert::CHUNK_BYTES,
    content::{bytes, id_of},
    counts::{Counts, FLOWS},
    flooder::{self, ASKED_CHUNKS},
    processor,
    site::{Site, options, others, sites, standing, until, until_all_hold},
};

pub(crate) const FILE_BYTES: u64 = ASKED_CHUNKS as u64 * CHUNK_BYTES as u64;
/// From one file to the next: several times what a file takes when it is calm, so that nothing builds up then.
pub(crate) const GAP: Duration = Duration::from_millis(25);
/// How often it is looked whether a file is held: a small part of what a file takes when it is calm.
const LOOK_EVERY: Duration = Duration::from_micros(200);
/// How long the last file may take before the round is void: a chunk that is lost is asked for again after
/// seconds, several times over.
const PATIENCE: Duration = Duration::from_secs(60);
/// The runtime of the three replicas' transports, which is not the flooder's.
const RUNTIME_THREADS: usize = 2;
const SIGNIFICANT_DIGITS: u8 = 3;

/// What is published in each round, in a folder that is removed at the end.
#[derive(Debug)]
pub(crate) struct Files {
    /// What all hold before the round begins, and the flooder asks for.
    old: File,
    new: Vec<File>,
    _folder: TempDir,
}

#[derive(Debug)]
struct File {
    path: PathBuf,
    id: ArtifactId,
}

impl Files {
    pub(crate) fn write(count: usize) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let write = |number: usize| {
            let (path, content) =
                (folder.path().join(number.to_string()), bytes(number as u64, FILE_BYTES));
            fs::write(&path, &content)?;
            Ok(File { path, id: id_of(&content) })
        };
        let new = (1..=count).map(write).collect::<io::Result<_>>()?;
        Ok(Self { old: write(0)?, new, _folder: folder })
    }

    fn ids(&self) -> BTreeSet<ArtifactId> {
        self.new.iter().chain([&self.old]).map(|file| file.id).collect()
    }
}

/// What came of one round.
#[derive(Debug)]
pub(crate) struct Round {
    /// From when each file was due to when all held it, in nanoseconds.
    pub(crate) times: Histogram<u64>,
    /// The longest time between two looks for them, by which one of them may be too long.
    pub(crate) blind: Duration,
    /// From the schedule's beginning until all held the last file; what follows was counted in this time.
    pub(crate) seconds: f64,
    pub(crate) counts: Counts,
    /// What each replica had counted when the fourth peer had stopped and nothing was under way any more.
    ended: Vec<MetricsSnapshot>,
    /// The processor time of all threads while the fourth peer was there, over that time.
    pub(crate) cores: f64,
    /// The fourth peer's part of it.
    pub(crate) flooder_share: f64,
}

impl Round {
    /// How many messages of all flows, over all replicas, came to this end.
    pub(crate) fn ended(&self, end: Outcome) -> u64 {
        let of_replica = |replica: &MetricsSnapshot| -> u64 {
            FLOWS.iter().map(|flow| replica.flow(*flow).count(end)).sum()
        };
        self.ended.iter().map(of_replica).sum()
    }
}

/// # Panics
///
/// If the round is void.
pub(crate) fn run(files: &Files, flooded: bool) -> Round {
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(RUNTIME_THREADS)
        .enable_all()
        .build()
        .expect("the system gives threads");
    let (sites, replicas) = runtime.block_on(start(files));
    let fourth = Fourth::join(&runtime, &sites, &replicas, flooded.then_some(files.old.id));

    let before = Counts::of(&replicas);
    let (times, blind, took) = publish(files, &replicas);
    let counts = Counts::of(&replicas).since(&before);
    for replica in &replicas {
        let counters = replica.transport_counters();
        assert_eq!(counters.disconnections, 0, "void: a connection was lost: {counters:?}");
    }

    let (cores, flooder_share) = fourth.leave();
    let ended = runtime.block_on(end(files, replicas));
    Round { times, blind, seconds: took.as_secs_f64(), counts, ended, cores, flooder_share }
}

/// The place of the fourth peer, which is the first, so that it is the one that dials; and three replicas,
/// connected with each other, that hold the old file.
async fn start(files: &Files) -> ([Site; 4], Vec<Replica>) {
    let (sites, bound) = sites::<4>(options()).await;
    // Its own replica never starts: its identity is used by other means.
    let replicas: Vec<Replica> = bound
        .into_iter()
        .enumerate()
        .skip(1)
        .map(|(index, bound)| bound.start(others(&sites, index)).expect("it starts"))
        .collect();
    replicas[0].publish(files.old.path.clone()).await.expect("the old file is published");
    until_all_hold(&replicas.iter().collect::<Vec<_>>(), &BTreeSet::from([files.old.id])).await;
    (sites, replicas)
}

/// The fourth peer, on a thread of its own.
struct Fourth {
    stop: oneshot::Sender<()>,
    /// It ends with the processor time that it has used.
    thread: JoinHandle<Duration>,
    began: Instant,
    used_before: Duration,
}

impl Fourth {
    /// Returns when it is connected with all and, should it flood them, the flood has reached all.
    fn join(
        runtime: &Runtime,
        sites: &[Site],
        replicas: &[Replica],
        asked: Option<ArtifactId>,
    ) -> Self {
        let (began, used_before) = (Instant::now(), processor::of_process());
        let (identity, victims) = (sites[0].identity.clone(), others(sites, 0));
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            flooder::run(&identity, victims, asked, stopped);
            processor::of_thread()
        });
        let is_there = |replica: &Replica| {
            replica.gossip().snapshot().peers == 3
                && (asked.is_none() || flooder::has_reached(replica))
        };
        runtime.block_on(until(
            "the fourth peer has reached all",
            || standing(&replicas.iter().collect::<Vec<_>>()),
            || replicas.iter().all(is_there),
        ));
        Self { stop, thread, began, used_before }
    }

    /// Returns how many cores all threads have used since it came, and its own part of that.
    fn leave(self) -> (f64, f64) {
        self.stop.send(()).expect("void: the fourth peer has gone by itself");
        let own = self.thread.join().expect("the fourth peer does not panic");
        let used = processor::of_process() - self.used_before;
        (used.div_duration_f64(self.began.elapsed()), own.div_duration_f64(used))
    }
}

/// Publishes all new files on the first replica when they are due; returns how long each took to be held by
/// the others, the longest time between two looks at them, and how long all of it took.
fn publish(files: &Files, replicas: &[Replica]) -> (Histogram<u64>, Duration, Duration) {
    let (publisher, others) = replicas.split_first().expect("there are three");
    let started = Instant::now();
    let due = |number: usize| GAP * number as u32;
    let mut times = Histogram::new(SIGNIFICANT_DIGITS).expect("the precision is in range");
    let (mut looked, mut blind) = (Duration::ZERO, Duration::ZERO);
    thread::scope(|scope| {
        scope.spawn(|| {
            for (number, file) in files.new.iter().enumerate() {
                thread::sleep(due(number).saturating_sub(started.elapsed()));
                let imported = publisher.gossip().publish(&file.path).expect("it is published");
                assert_eq!(imported.artifact.id, file.id, "the file has not changed");
            }
        });
        let deadline = due(files.new.len()) + PATIENCE;
        let mut missing: Vec<(usize, &File)> = files.new.iter().enumerate().collect();
        while !missing.is_empty() {
            thread::sleep(LOOK_EVERY);
            let now = started.elapsed();
            blind = blind.max(now - looked);
            looked = now;
            missing.retain(|(number, file)| {
                let is_held = others.iter().all(|replica| replica.store().contains(file.id));
                if is_held {
                    let time = started.elapsed().saturating_sub(due(*number));
                    times.record(time.as_nanos() as u64).expect("it grows as needed");
                }
                !is_held
            });
            assert!(
                started.elapsed() < deadline,
                "void: {} of {} files have not arrived: {}",
                missing.len(),
                files.new.len(),
                standing(&replicas.iter().collect::<Vec<_>>()),
            );
        }
    });
    (times, blind, started.elapsed())
}

/// Checks what the replicas hold and have counted, and stops them.
async fn end(files: &Files, replicas: Vec<Replica>) -> Vec<MetricsSnapshot> {
    let all: Vec<&Replica> = replicas.iter().collect();
    until_all_hold(&all, &files.ids()).await;
    until(
        "nothing is under way any more and all counts add up",
        || all.iter().map(|replica| format!("{:?}\n", replica.metrics().verify())).collect(),
        || all.iter().all(|replica| is_at_rest(&replica.metrics())),
    )
    .await;
    let ended = all.iter().map(|replica| replica.metrics()).collect();
    for replica in replicas {
        let report = replica.shutdown(PATIENCE).await;
        assert!(report.is_clean(), "void: a replica does not stop: {report:?}");
    }
    ended
}

/// Not of the Transport flow: that the fourth peer has gone without a word is found out later.
fn is_at_rest(metrics: &MetricsSnapshot) -> bool {
    let is_empty = |flow: &FlowSnapshot| flow.in_flight == 0 && flow.waiting == 0;
    metrics.verify().is_ok() && FLOWS.iter().all(|flow| is_empty(metrics.flow(*flow)))
}
