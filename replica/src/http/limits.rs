//! The bounds of the port to look at. None of them is a setting: nobody has needed another one yet.
//!
//! At the worst the port takes [`MAX_CONNECTIONS`] x (16 KiB and one rendered answer). Answers are shared
//! by all who ask for the same.

use std::time::Duration;

/// Connections that are served at once; one more is closed at once, and counted.
pub const MAX_CONNECTIONS: usize = 64;
/// Connections among them that listen to `/events`; one more gets status 503.
pub const MAX_LISTENERS: usize = 16;
/// The most bytes of a request's head. One byte more, and the connection is closed with status 431.
pub const MAX_HEAD_BYTES: usize = 8 << 10;
/// The most header lines of a request.
pub const MAX_HEADERS: usize = 64;
/// In this time the head of a request has to be there.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// In this time a request has to be answered and the answer taken, `/events` excepted.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// A listener that takes nothing for this long is cut off.
pub const STALL_TIMEOUT: Duration = Duration::from_secs(10);
/// After this time a listener has to connect anew, which browsers do by themselves.
pub const MAX_LISTENING: Duration = Duration::from_secs(600);
/// How often the replicas are looked at.
pub const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);
/// A look that is older than this is a fault in itself.
pub const MAX_SAMPLE_AGE: Duration = Duration::from_secs(10);
/// How many seconds of history are kept.
pub const HISTORY_SECONDS: usize = 300;
/// How long a step of the last hour is.
pub const HOUR_STEP: Duration = Duration::from_secs(15);
/// How many of these steps are kept.
pub const HOUR_STEPS: usize = 240;
/// Over how many seconds the percentiles and the recent faults are taken.
pub const RECENT_SECONDS: usize = 60;
/// Over how many seconds a rate is taken: one alone jumps too much to be read.
pub const RATE_SECONDS: usize = 3;
/// Over how many seconds the rate of a folder is taken: files come whole, so it jumps more.
pub const FOLDER_RATE_SECONDS: usize = 10;
/// How many peers are listed that say what they lack of a folder; the others are counted.
pub const FOLDER_PEERS: usize = 16;
/// How many of the artifacts that came last are shown.
pub const RECENT_ARTIFACTS: usize = 24;
/// For how long a replica has to be connected and complete before it counts as ready. Adverts come a round
/// trip after the connection: without this it would be ready before it knows what it lacks.
pub const SETTLE: Duration = Duration::from_secs(2);
/// The longest text of an error or of a path that is shown, in characters.
pub const MAX_ERROR_CHARS: usize = 200;
