//! What is to be verified before its turn: somebody wants it, or its file has changed.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    thread::Thread,
};

use gossip_engine::ArtifactId;

/// How many artifacts wait.
const MAX_ASKED: usize = 1024;

/// The artifacts, in the order in which they were asked for, each once.
#[derive(Debug, Default)]
pub(in crate::store) struct Asked(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    ids: VecDeque<ArtifactId>,
    /// How many verifiers there are, being replaced counted twice.
    verifiers: usize,
    thread: Option<Thread>,
}

impl Asked {
    /// Asks for an artifact. Returns whether there is a verifier at all.
    pub(in crate::store) fn ask(&self, id: ArtifactId) -> bool {
        let mut queue = self.queue();
        if queue.verifiers == 0 {
            return false;
        }
        // A thousand ids are compared in some microseconds, by who has just opened a file.
        if queue.ids.len() < MAX_ASKED && !queue.ids.contains(&id) {
            queue.ids.push_back(id);
            if let Some(thread) = &queue.thread {
                thread.unpark();
            }
        }
        true
    }

    pub(super) fn next(&self) -> Option<ArtifactId> {
        self.queue().ids.pop_front()
    }

    pub(super) fn attach(&self) {
        self.queue().verifiers += 1;
    }

    pub(super) fn detach(&self) {
        self.queue().verifiers -= 1;
    }

    /// Whom to wake when something is asked for.
    pub(super) fn wake(&self, thread: Option<Thread>) {
        self.queue().thread = thread;
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nothing in it is left half done by a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
