//! The watch over a handler's flows: a thread that notifies the replica of what was dropped, and logs handlers that are
//! stuck.
//!
//! It looks every [`WATCH_PERIOD`] and does nothing that could take long: what the replica is notified of goes
//! through the Transport flow, and if that is full, it is notified the next time.

use std::{convert::Infallible, fmt, sync::Weak, thread::Builder, time::Duration};

use crossbeam::channel::{RecvTimeoutError, Sender, bounded};

use crate::{BuildError, panics::contain};

/// How often flows are looked at for messages that were dropped and for handlers that are stuck.
pub const WATCH_PERIOD: Duration = Duration::from_millis(50);

/// What is watched.
pub(crate) trait Watched: Send + Sync + 'static {
    /// What is known from one look to the next.
    type Known: Default;

    /// Looks. Must not block.
    fn look(&self, known: &mut Self::Known);

    /// Whether there is nothing to look at any more.
    fn is_over(&self) -> bool;
}

/// Ends the watch when it is dropped, at once and without waiting for it.
pub(crate) struct Watch {
    _stop: Sender<Infallible>,
}

impl Watch {
    /// Starts a watch, which ends by itself when what it watches is gone or over.
    pub(crate) fn start<W: Watched>(watched: Weak<W>) -> Result<Self, BuildError> {
        let (stop, stopped) = bounded::<Infallible>(0);
        if crate::testing::is_on() {
            let mut known = W::Known::default();
            crate::testing::watch(WATCH_PERIOD, move || {
                let Some(watched) = watched.upgrade() else { return false };
                watched.look(&mut known);
                true
            });
            return Ok(Self { _stop: stop });
        }
        Builder::new()
            .name("P2P_Watch_Thread".to_owned())
            .spawn(move || {
                let mut known = W::Known::default();
                while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(WATCH_PERIOD) {
                    let Some(watched) = watched.upgrade() else { return };
                    if watched.is_over() {
                        return;
                    }
                    contain(|| watched.look(&mut known));
                }
            })
            .map_err(BuildError::WatchThread)?;
        Ok(Self { _stop: stop })
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}
