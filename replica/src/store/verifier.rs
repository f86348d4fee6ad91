//! Reading everything back in the background, at a set rate.
//!
//! ```text
//!              every second   is the folder still ours?
//!   step ──┬── a few names    has a file changed or gone?  ──changed──> asked for
//!          ├── asked for      hashed at once: somebody waits for it, once in a run
//!          └── the pass       hashed at the set rate: everything, at most once in an hour
//! ```
//!
//! The three have different costs. To look at a name is a system call, so a file that was removed, cut,
//! replaced or written to is found within seconds, or within the time that takes [`SWEEP_NAMES`] names
//! five times a second in a store of very many. To read content back is what a rate is set for; it
//! finds bytes that have rotten without anybody writing them.
//!
//! [`Verifier`] has no clock and no thread: it takes the time, does a little, and says when it is to be
//! called again. [`Verifying`] is the thread that does so. A panic in it is counted and logged, and the
//! verifier goes on after [`PANIC_PAUSE`].
//!
//! Bounded: [`STEP_BYTES`] are read in a step, [`MAX_ASKED`] artifacts wait. One that is asked for beyond
//! them is asked for again by the peers that want it. A pass remembers how far it is and nothing else; it begins
//! anew with the process.

mod asked;
mod thread;

use std::time::Duration;

use gossip_engine::ArtifactId;

use super::{
    Artifact, Store, StoreError,
    verify::{Fault, Reading, look},
};
use crate::file_version::FileVersion;

pub(super) use self::asked::Asked;
pub use self::thread::Verifying;

/// How many bytes are read in one step, so that it can be stopped: 1 MiB.
const STEP_BYTES: u64 = 1 << 20;
/// The least that is worth reading, so that a slow rate does not mean many small steps.
const LEAST_BYTES: u64 = 128 << 10;
/// How many names are looked at in one step.
const SWEEP_NAMES: usize = 200;
/// How much time lies between two steps of looking at names.
const SWEEP_STEP: Duration = Duration::from_millis(200);
/// After so many names a step is seldom: a large store takes a thousandth of a core or two.
const QUICK_NAMES: u64 = 2_000;
const SLOW_STEP: Duration = Duration::from_millis(1_000);
/// How much time lies at least between looking at a name and looking at it again.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);
/// How often the folder is looked at.
const FOLDER_INTERVAL: Duration = Duration::from_secs(1);
/// How much time lies at least between the beginnings of two passes.
const PASS_INTERVAL: Duration = Duration::from_secs(3600);
/// How much time lies at least between two lines of the log about files that may not be read.
const TELL_INTERVAL: Duration = Duration::from_secs(3600);
/// How long the thread rests after a panic.
const PANIC_PAUSE: Duration = Duration::from_secs(10);

/// Verifies what a store holds, a step at a time: names that have changed, what is asked for, and everything at
/// [the rate](super::StoreOptions::verify_bytes_per_second). It has no clock and no thread. One for each store.
#[derive(Debug)]
pub struct Verifier {
    store: Store,
    asked: Option<Reading>,
    pass: Option<Reading>,
    /// The next height of the pass, and the last that it goes to, or the largest number before it begins.
    next: u64,
    last: u64,
    pass_at: Duration,
    restorations: u64,
    sweep: u64,
    sweep_at: Duration,
    folder_at: Duration,
    /// How many bytes the pass may read now, and since when more have come.
    credit: u64,
    credited: Duration,
    /// What could not be read and was not said yet, and when that may be said.
    refusal: Option<StoreError>,
    tell_at: Duration,
}

impl Verifier {
    /// Begins with the first artifact.
    #[must_use]
    pub fn new(store: Store) -> Self {
        store.inner.asked.attach();
        Self {
            store,
            asked: None,
            pass: None,
            next: 0,
            last: u64::MAX,
            pass_at: Duration::ZERO,
            restorations: 0,
            sweep: 0,
            sweep_at: Duration::ZERO,
            folder_at: Duration::ZERO,
            credit: 0,
            credited: Duration::ZERO,
            refusal: None,
            tell_at: Duration::ZERO,
        }
    }

    /// Does what is due at `now`, the time since some beginning. Returns after how long it is to be called
    /// again: at once if there is more to do.
    pub fn step(&mut self, now: Duration) -> Duration {
        if now >= self.folder_at {
            self.folder_at = now + FOLDER_INTERVAL;
            // What is wrong it says itself.
            let _ = self.store.inner.restore_folder();
            // Relaxed: seen a step later, it is as good.
            let restorations = self.store.restorations();
            if restorations != self.restorations {
                self.restorations = restorations;
                self.begin_pass(now);
            }
        }
        if now >= self.sweep_at {
            self.look_at_names(now);
        }
        let asked = self.read_asked();
        let next = if asked { Duration::ZERO } else { self.read_pass(now) };
        if now >= self.tell_at
            && let Some(error) = self.refusal.take()
        {
            self.tell_at = now + TELL_INTERVAL;
            tracing::warn!(%error, "cannot verify an artifact, and perhaps others");
        }
        next.min(self.sweep_at.saturating_sub(now)).min(self.folder_at.saturating_sub(now))
    }

    fn look_at_names(&mut self, now: Duration) {
        let artifacts = self.store.list_from(self.sweep, SWEEP_NAMES);
        for artifact in &artifacts {
            let Some(entry) = self.store.inner.index().get(artifact.id) else { continue };
            match look(&self.store.inner.path(artifact.id), artifact.size) {
                // What was never verified waits for the pass, or for the first request.
                Ok(version) if entry.verified.is_none_or(|verified| verified == version) => {}
                Ok(_) => _ = self.store.inner.asked.ask(artifact.id),
                Err(fault) => self.conclude(*artifact, Err(fault)),
            }
        }
        match artifacts.last().filter(|_| artifacts.len() == SWEEP_NAMES) {
            Some(last) => {
                let step = if last.height <= QUICK_NAMES { SWEEP_STEP } else { SLOW_STEP };
                (self.sweep, self.sweep_at) = (last.height + 1, now + step);
            }
            None => (self.sweep, self.sweep_at) = (0, now + SWEEP_INTERVAL),
        }
    }

    /// Reads what is asked for. Returns whether there was something.
    fn read_asked(&mut self) -> bool {
        if self.asked.is_none() {
            let Some(id) = self.store.inner.asked.next() else { return false };
            // Those who asked while it was read have been answered by that.
            if !self.is_verified(id) {
                self.asked = self.begin(id);
            }
        }
        if let Some(mut reading) = self.asked.take() {
            self.asked = self.read(&mut reading, STEP_BYTES).1.then_some(reading);
        }
        true
    }

    /// Reads as much of the pass as its rate allows. Returns after how long it goes on.
    fn read_pass(&mut self, now: Duration) -> Duration {
        let rate = self.store.inner.options.verify_bytes_per_second;
        if rate == 0 {
            return Duration::MAX;
        }
        if now < self.pass_at {
            self.credited = now;
            return self.pass_at - now;
        }
        if self.last == u64::MAX {
            // What comes in later was hashed on its way.
            self.last = self.store.inner.index().last_height();
        }
        let since = now.saturating_sub(self.credited);
        self.credited = now;
        let more = since.as_micros().saturating_mul(u128::from(rate)) / 1_000_000;
        let most = rate.clamp(LEAST_BYTES, STEP_BYTES);
        self.credit = self.credit.saturating_add(u64::try_from(more).unwrap_or(u64::MAX)).min(most);
        let least = most.min(LEAST_BYTES);
        while self.credit >= least {
            if self.pass.is_none() && !self.begin_next() {
                self.begin_pass(now.max(self.pass_at + PASS_INTERVAL));
                return self.pass_at.saturating_sub(now);
            }
            let Some(mut reading) = self.pass.take() else { continue };
            let (read, more) = self.read(&mut reading, self.credit);
            self.pass = more.then_some(reading);
            // An empty file costs something, too.
            self.credit = self.credit.saturating_sub(read.max(1));
        }
        Duration::from_micros((least - self.credit).saturating_mul(1_000_000) / rate + 1)
    }

    /// Opens the next artifact of the pass. Returns whether there is one.
    fn begin_next(&mut self) -> bool {
        let next = self.store.list_from(self.next, 1);
        let Some(artifact) = next.first().filter(|next| next.height <= self.last) else {
            return false;
        };
        self.next = artifact.height + 1;
        self.pass = self.begin(artifact.id);
        true
    }

    /// Everything that is held then is read back from this time on.
    fn begin_pass(&mut self, at: Duration) {
        (self.pass, self.pass_at) = (None, at);
        (self.next, self.last) = (0, u64::MAX);
    }

    /// Whether the file that stands under its name was verified.
    fn is_verified(&self, id: ArtifactId) -> bool {
        let Some(entry) = self.store.inner.index().get(id) else { return false };
        let there = look(&self.store.inner.path(id), entry.artifact.size);
        there.is_ok_and(|version| entry.verified == Some(version))
    }

    fn begin(&mut self, id: ArtifactId) -> Option<Reading> {
        let artifact = self.store.get(id)?;
        match Reading::begin(&self.store.inner, id, artifact.size) {
            Ok(reading) => Some(reading),
            Err(fault) => {
                self.conclude(artifact, Err(fault));
                None
            }
        }
    }

    /// Reads on. Returns how much was read, and whether there is more.
    fn read(&mut self, reading: &mut Reading, limit: u64) -> (u64, bool) {
        let (read, verdict) = reading.step(limit);
        let more = verdict.is_none();
        if let Some(verdict) = verdict
            && let Some(artifact) = self.store.get(reading.id)
        {
            self.conclude(artifact, verdict);
        }
        (read, more)
    }

    fn conclude(&mut self, artifact: Artifact, verdict: Result<FileVersion, Fault>) {
        match self.store.inner.conclude(artifact.id, artifact.size, verdict) {
            Ok(Some(_)) => {}
            // It has changed meanwhile. The next sweep sees the new one.
            Ok(None) => {
                tracing::debug!(artifact = %artifact.id, "a file changes while it is verified")
            }
            // As the store's last error it shows at once.
            Err(error) => self.refusal = Some(error),
        }
    }
}

impl Drop for Verifier {
    fn drop(&mut self) {
        self.store.inner.asked.detach();
    }
}

#[cfg(test)]
mod tests;
