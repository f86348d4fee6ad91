//! What was seen last, for all who ask: the replicas' side puts it up, the port's side reads it.
//!
//! No request reaches a replica. It is looked at once a second however many ask, and a request that hangs
//! or a flood of them costs it nothing. An answer is rendered once for all who want the same.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Instant,
};

use bytes::Bytes;
use tokio::sync::watch;

use super::{
    limits::{MAX_LISTENERS, MAX_SAMPLE_AGE},
    notices::Noted,
    reading::Reading,
    status::{ReplicaView, Status, Summary},
};
use crate::words::counted;

/// One look at all replicas. Plain data.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) at: Instant,
    pub(super) now: f64,
    pub(super) started: f64,
    pub(super) noted: Noted,
    pub(super) replicas: Vec<Seen>,
}

/// A replica in it.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) reading: Reading,
    pub(super) view: ReplicaView,
    json: OnceLock<Bytes>,
}

impl Seen {
    pub(super) fn new(reading: Reading, view: ReplicaView) -> Self {
        Self { reading, view, json: OnceLock::new() }
    }
}

impl Sample {
    /// `/status.json` with this replica in full.
    ///
    /// # Panics
    ///
    /// If there is no such place.
    pub(super) fn json(&self, place: usize) -> Bytes {
        let render = || {
            let status = Status {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                now: self.now,
                started: self.started,
                replicas: self.replicas.iter().map(|seen| summary(&seen.view)).collect(),
                notices: self.noted.lines.clone(),
                replica: self.replicas[place].view.clone(),
            };
            serde_json::to_vec(&status).unwrap_or_default().into()
        };
        self.replicas[place].json.get_or_init(render).clone()
    }

    fn faults(&self, now: Instant) -> Vec<String> {
        let mut faults = Vec::new();
        let age = now.saturating_duration_since(self.at);
        if age > MAX_SAMPLE_AGE {
            faults.push(format!("nobody has looked at the replica for {} s", age.as_secs()));
        }
        for (number, seen) in self.replicas.iter().enumerate() {
            let several = self.replicas.len() > 1;
            faults.extend(seen.view.faults.iter().map(|fault| match several {
                true => format!("replica {}: {fault}", number + 1),
                false => fault.clone(),
            }));
        }
        faults
    }
}

fn summary(view: &ReplicaView) -> Summary {
    let connected = view.peers.iter().filter(|peer| peer.state == "connected");
    Summary {
        number: view.number,
        id: view.id.clone(),
        artifacts: view.store.artifacts,
        missing: view.readiness.missing_artifacts,
        ready: view.readiness.ready,
        connected: connected.filter_map(|peer| peer.number).collect(),
    }
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Board {
    latest: watch::Sender<Option<Arc<Sample>>>,
    listeners: AtomicUsize,
    /// Connections that were closed because there were too many.
    refused: AtomicU64,
    /// Tasks of the page that have panicked.
    panics: AtomicU64,
}

impl Board {
    pub(super) fn new() -> Self {
        Self {
            latest: watch::Sender::new(None),
            listeners: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
            panics: AtomicU64::new(0),
        }
    }

    pub(super) fn put(&self, sample: Sample) {
        self.latest.send_replace(Some(Arc::new(sample)));
    }

    pub(super) fn latest(&self) -> Option<Arc<Sample>> {
        self.latest.borrow().clone()
    }

    /// Connections that listen.
    pub(super) fn listeners(&self) -> usize {
        self.listeners.load(Relaxed)
    }

    pub(super) fn count_refused(&self) {
        // Relaxed: a count orders nothing.
        self.refused.fetch_add(1, Relaxed);
    }

    pub(super) fn count_panic(&self) {
        // Relaxed: as above.
        self.panics.fetch_add(1, Relaxed);
    }

    pub(super) fn panics(&self) -> u64 {
        self.panics.load(Relaxed)
    }

    /// What is wrong with the process, in words.
    pub(super) fn faults(&self, now: Instant) -> Vec<String> {
        self.faults_with(self.latest().as_deref(), now)
    }

    /// The same, as seen in this sample.
    pub(super) fn faults_with(&self, sample: Option<&Sample>, now: Instant) -> Vec<String> {
        let mut faults = match sample {
            Some(sample) => sample.faults(now),
            None => vec!["nothing has been seen yet".to_owned()],
        };
        let panics = self.panics();
        if panics > 0 {
            faults.push(format!("{} of the page panicked", counted(panics, "task")));
        }
        faults
    }

    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// A place among those who listen, if there is one left.
    pub(super) fn listen(self: &Arc<Self>) -> Option<Listener> {
        // Relaxed: the number bounds how many there are and publishes nothing.
        let took = self.listeners.fetch_update(Relaxed, Relaxed, |listeners| {
            (listeners < MAX_LISTENERS).then_some(listeners + 1)
        });
        took.ok()?;
        let mut samples = self.latest.subscribe();
        // The first answer is what there is.
        samples.mark_changed();
        Some(Listener { samples, board: self.clone() })
    }
}

/// Gets each sample that is newer than the one before. Its queue is one long: who is slow skips some.
#[derive(Debug)]
pub(super) struct Listener {
    samples: watch::Receiver<Option<Arc<Sample>>>,
    board: Arc<Board>,
}

impl Listener {
    /// Waits for the next; none when there will be none.
    pub(super) async fn next(&mut self) -> Option<Arc<Sample>> {
        loop {
            self.samples.changed().await.ok()?;
            let sample = self.samples.borrow_and_update().clone();
            if sample.is_some() {
                return sample;
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Relaxed: as in `listen`.
        self.board.listeners.fetch_sub(1, Relaxed);
    }
}
