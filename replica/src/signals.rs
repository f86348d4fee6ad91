//! The signals that the program hears.
//!
//! | signal           | `run`                                  | `demo`, `top` |
//! |------------------|----------------------------------------|--------|
//! | SIGINT, SIGTERM  | ends in order; a second one at once    | ends in order; a second one at once |
//! | SIGHUP           | reads the configuration anew           | as SIGINT |
//! | SIGUSR1, SIGUSR2 | nothing                                | nothing |
//! | SIGXFSZ          | nothing                                | nothing |
//!
//! Some senders signal both a process and its group, so a signal to end within [`ECHO`] of the first is the first
//! again.
//!
//! A file over the size that the process may write (SIGXFSZ) is a disk that takes no more: the write fails,
//! the store says so, and the replica goes on with what fits.

use std::{io, time::Duration};

use tokio::time::timeout;

use crate::failure::Failure;

/// For how long signals after the first one count as the same.
const ECHO: Duration = Duration::from_secs(1);

#[cfg(unix)]
mod system {
    use std::io;

    use tokio::signal::unix::{Signal, SignalKind, signal};

    #[derive(Debug)]
    pub(super) struct Signals {
        interrupt: Signal,
        terminate: Signal,
        hangup: Option<Signal>,
    }

    impl Signals {
        pub(super) fn new(with_hangup: bool) -> io::Result<Self> {
            // Heard once, they no longer end the process, whether anybody listens or not.
            for ignored in [
                SignalKind::from_raw(libc::SIGXFSZ),
                SignalKind::user_defined1(),
                SignalKind::user_defined2(),
            ] {
                drop(signal(ignored)?);
            }
            let hangup = if with_hangup { Some(signal(SignalKind::hangup())?) } else { None };
            Ok(Self {
                interrupt: signal(SignalKind::interrupt())?,
                terminate: signal(SignalKind::terminate())?,
                hangup,
            })
        }

        pub(super) async fn next(&mut self) {
            let hangup = async {
                match &mut self.hangup {
                    Some(hangup) => drop(hangup.recv().await),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = self.interrupt.recv() => {}
                _ = self.terminate.recv() => {}
                () = hangup => {}
            }
        }
    }

    #[derive(Debug)]
    pub(super) struct Hangups(Signal);

    impl Hangups {
        pub(super) fn new() -> io::Result<Self> {
            signal(SignalKind::hangup()).map(Self)
        }

        pub(super) async fn next(&mut self) {
            if self.0.recv().await.is_none() {
                std::future::pending::<()>().await;
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
        pub(super) fn new(_with_hangup: bool) -> io::Result<Self> {
            Ok(Self)
        }

        pub(super) async fn next(&mut self) {
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    #[derive(Debug)]
    pub(super) struct Hangups;

    impl Hangups {
        pub(super) fn new() -> io::Result<Self> {
            Ok(Self)
        }

        pub(super) async fn next(&mut self) {
            std::future::pending::<()>().await;
        }
    }
}

/// The signals to end. Once this is made, none of them ends the process by itself.
#[derive(Debug)]
pub(crate) struct EndRequest(system::Signals);

impl EndRequest {
    /// SIGINT and SIGTERM.
    pub(crate) fn new() -> Result<Self, Failure> {
        system::Signals::new(false).map(Self).map_err(deaf)
    }

    /// These, and SIGHUP: the terminal that shows the program is gone.
    pub(crate) fn with_hangup() -> Result<Self, Failure> {
        system::Signals::new(true).map(Self).map_err(deaf)
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

/// The signal to read the configuration anew: SIGHUP. Once this is made, it no longer ends the process.
#[derive(Debug)]
pub(crate) struct ReloadRequest(system::Hangups);

impl ReloadRequest {
    pub(crate) fn new() -> Result<Self, Failure> {
        system::Hangups::new().map(Self).map_err(deaf)
    }

    /// Waits for the next one. Those that come meanwhile are one.
    pub(crate) async fn next(&mut self) {
        self.0.next().await;
    }
}

fn deaf(error: io::Error) -> Failure {
    Failure::runtime(format_args!("cannot listen for signals: {error}"))
}
