//! Waiting for the replicas, with an eye on whether they get anywhere.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use gossip_engine::ArtifactId;
use gossip_replica::words::counted;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::{MissedTickBehavior, interval};

use super::{
    cluster::Cluster,
    source::{File, Folder, Published},
};
use crate::failure::Failure;

const POLL: Duration = Duration::from_millis(50);
/// How many of the artifacts that a replica misses are named.
const NAMED: usize = 3;

#[derive(Debug)]
pub(super) struct Watch<'a> {
    cluster: &'a Cluster,
    bar: &'a ProgressBar,
    patience: Duration,
}

impl<'a> Watch<'a> {
    pub(super) fn new(cluster: &'a Cluster, bar: &'a ProgressBar, patience: Duration) -> Self {
        Self { cluster, bar, patience }
    }

    /// Waits until every replica is connected with every other.
    pub(super) async fn until_connected(&self) -> Result<(), Failure> {
        self.bar.set_style(style("{spinner} {msg}"));
        let others = self.cluster.replicas.len() as u64 - 1;
        let mut stall = Stall::new(self.patience);
        let mut ticks = interval(POLL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let connected: Vec<u64> = self
                .cluster
                .replicas
                .iter()
                .map(|replica| replica.gossip().snapshot().peers)
                .collect();
            let sum = connected.iter().sum::<u64>();
            self.bar.set_message(format!("connecting {} replicas", connected.len()));
            self.bar.tick();
            if connected.iter().all(|peers| *peers == others) {
                return Ok(());
            }
            if stall.is_over(sum) {
                let lonely = |(number, peers): (usize, &u64)| {
                    (*peers < others).then(|| format!("replica {}: {peers}", number + 1))
                };
                let lonely: Vec<_> = connected.iter().enumerate().filter_map(lonely).collect();
                return Err(self.stalled(&format!(
                    "not all replicas are connected with {} ({})",
                    counted(others, "other"),
                    lonely.join(", "),
                )));
            }
        }
    }

    /// Publishes the folder, and waits until every replica holds all of it and the names.
    pub(super) async fn until_everywhere(
        &self,
        folder: &Folder,
        cancel: &Arc<AtomicBool>,
    ) -> Result<Published, Failure> {
        let copies = self.cluster.replicas.len() as u64;
        self.bar.set_style(style(
            "{spinner} {msg} {wide_bar} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta} left",
        ));
        // What is a duplicate is known when all is published.
        self.bar.set_length(folder.total_bytes() * copies);
        self.bar.reset_eta();

        let done = Arc::new(AtomicUsize::new(0));
        let publishing = folder.publish(self.cluster, &done, cancel);
        tokio::pin!(publishing);
        let mut published: Option<(Published, BTreeMap<ArtifactId, u64>)> = None;
        let mut stall = Stall::new(self.patience);
        let mut ticks = interval(POLL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                result = &mut publishing, if published.is_none() => {
                    let result = result?;
                    let distinct = distinct(&result.files);
                    self.bar.set_length(distinct.values().sum::<u64>() * copies);
                    published = Some((result, distinct));
                }
                _ = ticks.tick() => {}
            }
            let standing = self.standing()?;
            // Relaxed: a figure to look at.
            let done = done.load(Ordering::Relaxed);
            // The catalogs are not among the bytes that were asked for.
            self.bar.set_position(standing.bytes.min(self.bar.length().unwrap_or(u64::MAX)));
            self.bar.set_message(match &published {
                None => format!("publishing {done}/{}", folder.files.len()),
                Some((_, distinct)) => {
                    format!("gossiping {}/{}", standing.least, distinct.len())
                }
            });
            if let Some((result, distinct)) = &published
                && standing.least >= (distinct.len() + result.catalogs) as u64
            {
                break;
            }
            if stall.is_over((done, standing)) {
                return Err(match &published {
                    None => self.stalled(&format!(
                        "published {done} of {}",
                        counted(folder.files.len() as u64, "file")
                    )),
                    Some((result, _)) => self.stalled(&self.missing(&result.files)),
                });
            }
        }
        Ok(published.map(|(published, _)| published).unwrap_or_default())
    }

    /// Waits until every replica has the catalogs of so many publishers.
    pub(super) async fn until_named(&self, publishers: usize) -> Result<(), Failure> {
        self.bar.set_style(style("{spinner} {msg}"));
        self.bar.set_message("exchanging catalogs");
        let mut stall = Stall::new(self.patience);
        let mut ticks = interval(POLL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.bar.tick();
            let known =
                self.cluster.replicas.iter().map(|replica| replica.gossip().catalogs().all().len());
            let (least, sum) =
                known.fold((usize::MAX, 0), |(least, sum), known| (least.min(known), sum + known));
            if least >= publishers {
                return Ok(());
            }
            if stall.is_over(sum) {
                let what =
                    format!("a replica has {} of {publishers}", counted(least as u64, "catalog"));
                return Err(self.stalled(&what));
            }
        }
    }

    fn standing(&self) -> Result<Standing, Failure> {
        let mut sum = Standing { least: u64::MAX, ..Standing::default() };
        for (index, replica) in self.cluster.replicas.iter().enumerate() {
            let snapshot = replica.gossip().snapshot();
            if snapshot.fetched.disk_errors > 0 {
                return Err(Failure::runtime(format_args!(
                    "replica {} cannot write to {}; the line before says why",
                    index + 1,
                    replica.store().folder().display(),
                )));
            }
            sum.least = sum.least.min(snapshot.artifacts);
            sum.artifacts += snapshot.artifacts;
            sum.bytes += snapshot.bytes;
            sum.chunks += snapshot.fetched.chunks_received;
        }
        Ok(sum)
    }

    fn stalled(&self, what: &str) -> Failure {
        Failure::runtime(format_args!("no progress for {} s: {what}", self.patience.as_secs()))
    }

    fn missing(&self, files: &[File]) -> String {
        let held_by = self.cluster.replicas.iter().map(|replica| {
            let store = replica.store();
            (replica.node_id().to_string(), move |id| store.contains(id))
        });
        missing(files.iter().map(|file| (file.artifact.id, &file.path)), held_by)
    }
}

/// Which replica misses what.
fn missing<'a, F: Fn(ArtifactId) -> bool>(
    files: impl Iterator<Item = (ArtifactId, &'a PathBuf)> + Clone,
    replicas: impl Iterator<Item = (String, F)>,
) -> String {
    let mut lines = Vec::new();
    for (index, (name, holds)) in replicas.enumerate() {
        let mut lacking = BTreeSet::new();
        let mut paths = Vec::new();
        for (id, path) in files.clone().filter(|(id, _)| !holds(*id)) {
            if lacking.insert(id) && paths.len() < NAMED {
                paths.push(path.display().to_string());
            }
        }
        if !lacking.is_empty() {
            let more = if lacking.len() > paths.len() { ", …" } else { "" };
            let (number, count, paths) = (index + 1, lacking.len(), paths.join(", "));
            lines.push(format!("replica {number} ({name}) misses {count}: {paths}{more}"));
        }
    }
    lines.join("; ")
}

/// The artifacts of the files and their sizes.
fn distinct(files: &[File]) -> BTreeMap<ArtifactId, u64> {
    files.iter().map(|file| (file.artifact.id, file.artifact.size)).collect()
}

/// How far the replicas are, all together.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Standing {
    /// What the replica with the fewest artifacts holds.
    least: u64,
    artifacts: u64,
    bytes: u64,
    chunks: u64,
}

/// Tells when a figure has not changed for too long.
#[derive(Debug)]
struct Stall<T> {
    patience: Duration,
    last: Option<T>,
    since: Instant,
}

impl<T: PartialEq> Stall<T> {
    fn new(patience: Duration) -> Self {
        Self { patience, last: None, since: Instant::now() }
    }

    fn is_over(&mut self, figure: T) -> bool {
        if self.last.as_ref() != Some(&figure) {
            self.last = Some(figure);
            self.since = Instant::now();
        }
        self.since.elapsed() >= self.patience
    }
}

/// # Panics
///
/// If `template` is no template.
pub(super) fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .expect("the template is a constant")
        .progress_chars("━╸─")
}

#[cfg(test)]
mod tests;
