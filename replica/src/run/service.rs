//! What the service manager is sent, where there is one: systemd's protocol of `Type=notify` and `WatchdogSec`.
//!
//! ```text
//! started ── READY=1 ──> runs ── STOPPING=1 ──> ends
//!                        │  ^
//!                        │  └── READY=1 ── RELOADING=1, at SIGHUP
//!                        └── WATCHDOG=1 twice in each WatchdogSec, while the replica is alive
//! ```
//!
//! Alive is what a restart would mend: a look at the replica comes back within half of `WatchdogSec` and no task has
//! panicked. `/health` minds the disk as well, which a restart does not mend.
//!
//! A manager that takes nothing costs [`NOTIFY_LIMIT`] a word and is said once in the log. Without one nothing is sent.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use gossip_replica::{blocking::blocking, replica::Replica};
use tokio::time::{MissedTickBehavior, interval};

use super::patience::Patience;

/// How long the manager may take with a word.
const NOTIFY_LIMIT: Duration = Duration::from_secs(1);
/// The least time between two words that the replica is alive, whatever the manager asks for.
const MIN_INTERVAL: Duration = Duration::from_millis(1);

/// What is said to the service manager.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Ready,
    Reloading,
    Stopping,
    Alive,
}

/// The service manager. Clones speak to the same one.
#[derive(Clone, Debug, Default)]
pub(super) struct Service {
    has_complained: Arc<AtomicBool>,
}

impl Service {
    /// The replica listens and its store is open, or it has read its configuration anew.
    pub(super) async fn ready(&self) {
        self.say(State::Ready).await;
    }

    /// It reads its configuration anew. [`ready`](Self::ready) follows.
    pub(super) async fn reloading(&self) {
        self.say(State::Reloading).await;
    }

    /// It ends.
    pub(super) async fn stopping(&self) {
        self.say(State::Stopping).await;
    }

    /// Says that the replica is alive for as long as it is, if the manager has asked for it. Does not end.
    pub(super) async fn keep_alive(&self, replica: &Replica) {
        let Some(timeout) = system::watchdog() else { return std::future::pending().await };
        let observer = replica.observer().clone();
        let look = move || observer.is_alive();
        watch(timeout, look, async || self.say(State::Alive).await).await;
    }

    async fn say(&self, state: State) {
        let Err(error) = blocking(move || system::say(state)).await else { return };
        // Relaxed: it orders nothing.
        if !self.has_complained.swap(true, Ordering::Relaxed) {
            tracing::warn!(?state, %error, "cannot speak to the service manager");
        }
    }
}

/// Looks twice in each `timeout`, and says so if the replica is alive. Does not end.
async fn watch(
    timeout: Duration,
    look: impl Fn() -> bool + Clone + Send + 'static,
    mut say: impl AsyncFnMut(),
) {
    let half = (timeout / 2).max(MIN_INTERVAL);
    let mut ticks = interval(half);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let patience = Patience::default();
    let mut was_alive = true;
    loop {
        ticks.tick().await;
        let is_alive = patience.run(half, look.clone()).await;
        if is_alive == Some(true) {
            say().await;
        } else if was_alive {
            let fault =
                if is_alive.is_none() { "it does not answer" } else { "a task has panicked" };
            tracing::error!(
                fault,
                "the replica is at fault, and the service manager may start it again"
            );
        }
        was_alive = is_alive == Some(true);
    }
}

/// As `sd_notify(3)` and `sd_watchdog_enabled(3)` have it. The crate `sd-notify` knows no sockets with abstract names,
/// and sets no limit to how long it waits.
#[cfg(target_os = "linux")]
mod system {
    use std::{
        env,
        ffi::OsStr,
        io,
        os::{
            linux::net::SocketAddrExt as _,
            unix::{
                ffi::OsStrExt as _,
                net::{SocketAddr, UnixDatagram},
            },
        },
        process,
        time::Duration,
    };

    use rustix::time::{ClockId, clock_gettime};

    use super::{NOTIFY_LIMIT, State};

    pub(super) fn say(state: State) -> io::Result<()> {
        let Some(name) = env::var_os("NOTIFY_SOCKET") else { return Ok(()) };
        let address = match name.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(OsStr::from_bytes(name.as_bytes()))?,
        };
        let words = match state {
            State::Ready => "READY=1".to_owned(),
            State::Reloading => {
                let now = clock_gettime(ClockId::Monotonic);
                let now = Duration::new(now.tv_sec as u64, now.tv_nsec as u32);
                format!("RELOADING=1\nMONOTONIC_USEC={}", now.as_micros())
            }
            State::Stopping => "STOPPING=1".to_owned(),
            State::Alive => "WATCHDOG=1".to_owned(),
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(NOTIFY_LIMIT))?;
        socket.send_to_addr(words.as_bytes(), &address).map(drop)
    }

    /// Within which time the manager wants to know that the replica is alive.
    pub(super) fn watchdog() -> Option<Duration> {
        let number = |name| env::var(name).ok()?.parse::<u64>().ok();
        let is_for_us = env::var_os("WATCHDOG_PID").is_none()
            || number("WATCHDOG_PID") == Some(process::id().into());
        let timeout = number("WATCHDOG_USEC").filter(|timeout| is_for_us && *timeout > 0)?;
        Some(Duration::from_micros(timeout))
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::{io, time::Duration};

    use super::State;

    pub(super) fn say(_state: State) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn watchdog() -> Option<Duration> {
        None
    }
}

#[cfg(test)]
mod tests;
