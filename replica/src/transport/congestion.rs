//! How much may be under way to a peer: a window from the rate and the round trip that are measured.
//!
//! ```text
//!          the rate stops growing, or loss          the quickest round trip is old
//! Startup ─────────────────────────────────> Cruise ────────────────────────────> Drain
//!    ^                                        │  ^                                 │
//!    └──── nothing arrives for a long time ───┘  └───────── two round trips ───────┘
//! ```
//!
//! Cubic and NewReno take every loss for a full queue, so a line of 50 ms that loses one datagram in a hundred
//! carries a thirtieth of its rate. QUIC's own BBR takes the rate between two acknowledgements for that of the
//! line, keeps twice of that under way, and fills every queue until it overflows: up to half of what it sends is
//! lost. This controller is between the two. The *rate* is what was acknowledged in a whole round trip, the
//! greatest of the last [`RATE_ROUNDS`]. The *queue* is by how much the quickest datagram of a round trip was
//! slower than the quickest of all.
//!
//! - **Startup** doubles the window each round trip, until the rate no longer grows with it.
//! - **Cruise** keeps rate × quickest round trip under way, and a little for what comes late. After
//!   [`PROBE_AFTER_ROUNDS`] without a queue it asks for a quarter more, and goes on while the rate grows with it.
//!   A queue that is long nevertheless may be that of others: the window stays as it is.
//! - A loss beside a queue (over [`SMALL_LOSS`]) or a large one (over [`LARGE_LOSS`]) means that the line is full.
//!   The rates of before are forgotten, and a part of what has just arrived is kept under way.
//! - **Drain** halves the window if the quickest round trip has not been seen for [`ROUND_TRIP_TIME`]. If the rate
//!   stays, a queue of ours was in the way; if it falls too, the line has become longer.
//!
//! Rate × quickest round trip, Startup and the probes are ideas of BBR (draft-cardwell-iccrg-bbr-congestion-control);
//! that a queue makes it give way, of LEDBAT (RFC 6817); first and smallest windows and persistent congestion are
//! those of RFC 9002. Beside Cubic in a queue of 50 ms and more it gives way: it gets about a tenth of the line. In one
//! of 5 ms it gets about 70 %. `docs/lines.md` has the figures, and those of QUIC's own BBR.
//!
//! Pacing is QUIC's: a window and a quarter each round trip. Bounded: the window by [`MIN_WINDOW_PACKETS`], by 4 GiB,
//! and in effect by [`Windows::send`](super::limits::Windows::send). A peer whose acknowledgements lie has us send
//! to it too much or too little, within those bounds.

use std::{
    any::Any,
    sync::Arc,
    time::{Duration, Instant},
};

use quinn::congestion::{Controller, ControllerFactory};
use quinn_proto::RttEstimator;

/// The window before anything is measured, in datagrams: RFC 9002, section 7.2.
const FIRST_WINDOW_PACKETS: u64 = 10;
/// The smallest window, in datagrams: what it takes to learn anything from acknowledgements.
const MIN_WINDOW_PACKETS: u64 = 4;
/// A round of measuring is at least this long: a shorter one sees the bursts of timers, not the line.
const MIN_ROUND: Duration = Duration::from_millis(5);
/// Of how many round trips the greatest rate counts.
const RATE_ROUNDS: usize = 8;
/// Round trips without a quarter more until Startup ends.
const FULL_AFTER_ROUNDS: u8 = 2;
/// After how many round trips Cruise asks for more.
const PROBE_AFTER_ROUNDS: u8 = 8;
/// What Cruise asks for then; also by how much the rate has to grow in a round trip of Startup.
const PROBE_GAIN: f64 = 1.25;
/// From what growth of the rate on Cruise asks for more again at once.
const PROBE_PAID: f64 = 1.05;
/// What is kept under way of what has just arrived, when the line is full.
const FULL_GAIN: f64 = 0.85;
/// How many round trips Drain lasts.
const DRAIN_ROUNDS: u8 = 2;
/// What of the rate has to stay in Drain, if there was a queue of ours.
const DRAIN_PAID: f64 = 0.8;
/// How long the quickest round trip counts without being seen again.
const ROUND_TRIP_TIME: Duration = Duration::from_secs(10);
/// What acknowledgements and timers come late without a queue. Also what is kept under way beyond
/// rate × round trip, or a short line would wait for them.
const LATENESS: Duration = Duration::from_millis(2);
/// A loss that means a full line if there is a queue.
const SMALL_LOSS: f64 = 0.02;
/// A loss that means a full line by itself: one with a short queue, which delays nothing.
const LARGE_LOSS: f64 = 0.15;
/// Fewer datagrams lost in a round are chance, whatever their share.
const MIN_LOST_PACKETS: u64 = 8;

/// Makes a controller for each connection.
#[derive(Debug)]
pub(super) struct Congestion;

impl ControllerFactory for Congestion {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(Window::new(now, current_mtu.into()))
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    Startup {
        /// Rounds in which the rate has not grown by a quarter.
        full_rounds: u8,
    },
    Cruise {
        probing: bool,
        /// Rounds until it asks for more.
        probe_in: u8,
    },
    /// Rounds of draining left.
    Drain { left: u8 },
}

/// What is measured in one round trip.
#[derive(Clone, Copy, Debug)]
struct Round {
    began: Instant,
    /// The round ends when a datagram that is sent after this one is acknowledged.
    last_sent: u64,
    acked: u64,
    lost: u64,
    quickest: Option<Duration>,
    /// Of all round trips of datagrams.
    sum: Duration,
    samples: u32,
    /// Whether there was too little to send at some time.
    idle: bool,
}

impl Round {
    fn new(began: Instant, last_sent: u64) -> Self {
        Self {
            began,
            last_sent,
            acked: 0,
            lost: 0,
            quickest: None,
            sum: Duration::ZERO,
            samples: 0,
            idle: false,
        }
    }

    /// By how much datagrams were slower than the quickest: the mean, and twice that if it is long. What arrives
    /// together, as acknowledgements do on some radio, is up to twice as late; with less under way the rate would
    /// fall and fall. A short spread is that of our own queue.
    fn spread(&self) -> Duration {
        let mean = self.sum.checked_div(self.samples).unwrap_or_default();
        let spread = mean.saturating_sub(self.quickest.unwrap_or_default());
        if spread > 2 * LATENESS { 2 * spread } else { spread }
    }

    fn loss(&self) -> f64 {
        self.lost as f64 / (self.lost + self.acked).max(1) as f64
    }
}

/// See the [module](self).
#[derive(Clone, Debug)]
struct Window {
    mtu: u64,
    window: u64,
    phase: Phase,
    last_sent: u64,
    round: Round,
    /// Bytes a second, by round.
    rates: [f64; RATE_ROUNDS],
    next_rate: usize,
    /// The rate when Startup or a probe has last looked at it.
    rate_before: f64,
    /// The quickest round trip, and when it was last seen.
    round_trip: Option<(Duration, Instant)>,
}

impl Window {
    fn new(now: Instant, mtu: u64) -> Self {
        Self {
            mtu,
            window: FIRST_WINDOW_PACKETS * mtu,
            phase: Phase::Startup { full_rounds: 0 },
            last_sent: 0,
            round: Round::new(now, 0),
            rates: [0.0; RATE_ROUNDS],
            next_rate: 0,
            rate_before: 0.0,
            round_trip: None,
        }
    }

    fn rate(&self) -> f64 {
        self.rates.iter().copied().fold(0.0, f64::max)
    }

    fn min_window(&self) -> u64 {
        MIN_WINDOW_PACKETS * self.mtu
    }

    /// By how much the round's quickest datagram was slower than the quickest of all.
    fn queue(&self) -> Duration {
        match (self.round.quickest, self.round_trip) {
            (Some(quickest), Some((round_trip, _))) => quickest.saturating_sub(round_trip),
            _ => Duration::ZERO,
        }
    }

    fn is_queue(&self) -> bool {
        self.queue() > LATENESS + self.quickest() / 8
    }

    fn is_long_queue(&self) -> bool {
        self.queue() > 3 * LATENESS + self.quickest() / 4
    }

    fn is_stale(&self, now: Instant) -> bool {
        self.round_trip.is_some_and(|(_, seen)| now - seen > ROUND_TRIP_TIME)
    }

    fn quickest(&self) -> Duration {
        self.round_trip.map_or(Duration::ZERO, |(round_trip, _)| round_trip)
    }

    /// The line takes no more than has just arrived.
    fn is_full(&self) -> bool {
        let loss = self.round.loss();
        if self.round.lost < MIN_LOST_PACKETS * self.mtu {
            return false;
        }
        loss > LARGE_LOSS || loss > SMALL_LOSS && self.is_queue()
    }

    fn acknowledged(&mut self, sample: Duration, bytes: u64, app_limited: bool, now: Instant) {
        self.round.acked += bytes;
        self.round.idle |= app_limited;
        self.take_sample(sample, now);
        if let Phase::Startup { .. } = self.phase
            && !app_limited
        {
            self.window = (self.window + bytes).min(u32::MAX.into());
        }
    }

    fn take_sample(&mut self, sample: Duration, now: Instant) {
        self.round.samples += 1;
        self.round.sum += sample;
        self.round.quickest = Some(self.round.quickest.map_or(sample, |least| least.min(sample)));
        match &mut self.round_trip {
            Some((round_trip, seen)) if sample <= *round_trip + *round_trip / 16 => {
                *round_trip = sample.min(*round_trip);
                *seen = now;
            }
            Some(_) => {}
            none => *none = Some((sample, now)),
        }
    }

    /// Keeps `gain` of what rate and round trip are together under way.
    fn set_window(&mut self, gain: f64) {
        let late = LATENESS + self.round.spread();
        let time = self.quickest().as_secs_f64() * gain + late.as_secs_f64();
        let window = (self.rate() * time) as u64 + self.min_window();
        self.window = window.min(u32::MAX.into());
    }

    fn end_round(&mut self, now: Instant) {
        let round = self.round;
        let rate = round.acked as f64 / (now - round.began).as_secs_f64();
        let full = self.is_full();
        if full {
            self.rates = [0.0; RATE_ROUNDS];
        }
        // One in which there was little to send says what the line carries at least.
        if !round.idle || rate > self.rate() {
            self.rates[self.next_rate] = rate;
            self.next_rate = (self.next_rate + 1) % RATE_ROUNDS;
        }
        match self.phase {
            Phase::Startup { full_rounds } => {
                let grown = self.rate() >= self.rate_before * PROBE_GAIN;
                let full_rounds = if grown || round.idle { 0 } else { full_rounds + 1 };
                if grown {
                    self.rate_before = self.rate();
                }
                if full
                    || full_rounds >= FULL_AFTER_ROUNDS
                    || full_rounds > 0 && self.is_long_queue()
                {
                    self.cruise(full);
                } else {
                    self.phase = Phase::Startup { full_rounds };
                }
            }
            Phase::Cruise { probing, probe_in } => {
                let paid = self.rate() >= self.rate_before * PROBE_PAID;
                self.rate_before = self.rate();
                if full {
                    self.cruise(true);
                } else if self.is_stale(now) && !round.idle {
                    self.phase = Phase::Drain { left: DRAIN_ROUNDS };
                    self.window = (self.window / 2).max(self.min_window());
                } else if self.is_long_queue() {
                    // It need not be ours. What is under way stays as it is until that is known.
                    self.phase = Phase::Cruise { probing: false, probe_in: PROBE_AFTER_ROUNDS };
                } else if self.is_queue() {
                    self.cruise(false);
                } else if probing && paid || probe_in == 0 {
                    self.phase = Phase::Cruise { probing: true, probe_in: PROBE_AFTER_ROUNDS };
                    self.set_window(PROBE_GAIN);
                } else {
                    self.phase = Phase::Cruise { probing: false, probe_in: probe_in - 1 };
                    self.set_window(1.0);
                }
            }
            Phase::Drain { left: 0 | 1 } => {
                // With half as much under way, a line that had a queue of ours carries as much as before. One
                // that carries less has become longer.
                let longer = rate < self.rate_before * DRAIN_PAID;
                let found = round.quickest.map(|quickest| (quickest, now));
                match (self.round_trip, found) {
                    (Some((known, _)), Some(_)) if !longer => self.round_trip = Some((known, now)),
                    _ => self.round_trip = found,
                }
                self.cruise(false);
            }
            Phase::Drain { left } => self.phase = Phase::Drain { left: left - 1 },
        }
        self.round = Round::new(now, self.last_sent);
    }

    fn cruise(&mut self, full: bool) {
        self.rate_before = self.rate();
        self.phase = Phase::Cruise { probing: false, probe_in: PROBE_AFTER_ROUNDS };
        self.set_window(if full { FULL_GAIN } else { 1.0 });
    }
}

impl Controller for Window {
    fn on_sent(&mut self, _now: Instant, _bytes: u64, last_packet_number: u64) {
        self.last_sent = last_packet_number;
    }

    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        app_limited: bool,
        _rtt: &RttEstimator,
    ) {
        self.acknowledged(now.saturating_duration_since(sent), bytes, app_limited, now);
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        _in_flight: u64,
        _app_limited: bool,
        largest_packet_num_acked: Option<u64>,
    ) {
        let long = now.saturating_duration_since(self.round.began) >= MIN_ROUND;
        let ended = largest_packet_num_acked.is_some_and(|number| number > self.round.last_sent);
        if long && ended {
            self.end_round(now);
        }
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        _sent: Instant,
        is_persistent_congestion: bool,
        lost_bytes: u64,
    ) {
        self.round.lost += lost_bytes;
        if is_persistent_congestion {
            *self = Self { last_sent: self.last_sent, ..Self::new(now, self.mtu) };
            self.round.last_sent = self.last_sent;
            self.window = self.min_window();
        }
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.mtu = new_mtu.into();
        self.window = self.window.max(self.min_window());
    }

    fn window(&self) -> u64 {
        self.window
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        FIRST_WINDOW_PACKETS * self.mtu
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

#[cfg(test)]
mod tests;
