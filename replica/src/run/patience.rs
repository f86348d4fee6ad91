//! Work on files that may never end, as on a disk of the network that does not answer.
//!
//! What takes too long is given up: its thread goes on by itself, and the caller does something else. At most
//! [`MAX_GIVEN_UP`] such threads are there at a time.

use std::{sync::Arc, time::Duration};

use gossip_replica::blocking::blocking;
use tokio::time::timeout;

/// How many pieces of work may be under way before no more is begun.
const MAX_GIVEN_UP: usize = 8;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Patience {
    /// A clone for each piece of work that has not ended.
    under_way: Arc<()>,
}

impl Patience {
    /// Runs work; `None` if it does not end within `limit`, or if too much other work has not ended.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        if self.under_way() >= MAX_GIVEN_UP {
            return None;
        }
        let token = self.under_way.clone();
        let work = blocking(move || {
            let result = work();
            drop(token);
            result
        });
        timeout(limit, work).await.ok()
    }

    /// How much work has not ended.
    pub(super) fn under_way(&self) -> usize {
        Arc::strong_count(&self.under_way) - 1
    }
}

#[cfg(test)]
mod tests;
