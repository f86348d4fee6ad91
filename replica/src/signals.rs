//! The wish to end, from a terminal (SIGINT) or from whoever supervises the process (SIGTERM); and the one
//! signal that must not end it.
//!
//! The first wish is waited for; another one, while the program cleans up, ends it on the spot. Some
//! senders signal both a process and its group, so what comes right after the first is the first again.
//!
//! A file over the size that the process may write (SIGXFSZ) is a disk that takes no more: the write fails,
//! the store says so, and the replica goes on with what fits.

use std::{io, time::Duration};

use tokio::time::timeout;

use crate::failure::Failure;

/// For how long signals after the first one are the same wish.
const ECHO: Duration = Duration::from_secs(1);

#[cfg(unix)]
mod system {
    use std::io;

    use tokio::signal::unix::{Signal, SignalKind, signal};

    #[derive(Debug)]
    pub(super) struct Signals {
        interrupt: Signal,
        terminate: Signal,
    }

    impl Signals {
        pub(super) fn new() -> io::Result<Self> {
            // Heard once, it no longer ends the process, whether anybody listens or not.
            drop(signal(SignalKind::from_raw(libc::SIGXFSZ))?);
            Ok(Self {
                interrupt: signal(SignalKind::interrupt())?,
                terminate: signal(SignalKind::terminate())?,
            })
        }

        pub(super) async fn next(&mut self) {
            tokio::select! {
                _ = self.interrupt.recv() => {}
                _ = self.terminate.recv() => {}
            }
        }
    }
}

#[cfg(not(unix))]
mod system {
    use std::io;

    #[derive(Debug)]
    pub(super) struct Signals;

    impl Signals {
        pub(super) fn new() -> io::Result<Self> {
            Ok(Self)
        }

        pub(super) async fn next(&mut self) {
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

/// From its making on, these signals no longer end the process.
#[derive(Debug)]
pub(crate) struct EndRequest(system::Signals);

impl EndRequest {
    pub(crate) fn new() -> Result<Self, Failure> {
        let failed =
            |error: io::Error| Failure::runtime(format_args!("cannot listen for signals: {error}"));
        system::Signals::new().map(Self).map_err(failed)
    }

    /// Waits for the first one.
    pub(crate) async fn wait(mut self) {
        self.0.next().await;
        tokio::spawn(async move {
            let echoes = async {
                loop {
                    self.0.next().await;
                }
            };
            let _ = timeout(ECHO, echoes).await;
            self.0.next().await;
            std::process::exit(Failure::INTERRUPTED.into());
        });
    }
}
