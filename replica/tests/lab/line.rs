//! One direction of a bad network, without a clock or a socket of its own: what it does to each datagram.
//!
//! A datagram waits behind those before it in a queue that is bounded in bytes, leaves at the rate of the
//! line, and arrives after the delay. It is lost if the queue is full, or by chance. What is lost by chance
//! is a matter of the seed and of the order in which datagrams come.

use std::{
    ops::Range,
    time::{Duration, Instant},
};

/// What IP and UDP add to a datagram on the wire, in bytes.
const HEADER_BYTES: u64 = 28;

/// What the network does to datagrams. By default it carries all at once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Weather {
    /// How many of a thousand are lost by chance.
    pub(crate) loss_permille: u64,
    /// How many microseconds one takes. Of unequal delay: see `in_order`.
    pub(crate) delay_micros: Range<u64>,
    /// Whether none overtakes another. Otherwise those of unequal delay do.
    pub(crate) in_order: bool,
    /// Datagrams arrive together, once in so many milliseconds, as some radio has it; at any time if it is zero.
    pub(crate) together_millis: u64,
    /// The rate in bits a second, and how many bytes may wait for it; all at once if there is none.
    pub(crate) rate: Option<Rate>,
    pub(crate) seed: u64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    pub(crate) bits_per_second: u64,
    pub(crate) queue_bytes: u64,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Line {
    weather: Weather,
    dice: u64,
    /// When the last datagram that was taken has left.
    free_at: Option<Instant>,
    last_arrival: Option<Instant>,
    began: Option<Instant>,
    lost: u64,
    overflown: u64,
}

impl Line {
    pub(crate) fn new(weather: Weather) -> Self {
        let dice = weather.seed;
        Self {
            weather,
            dice,
            free_at: None,
            last_arrival: None,
            began: None,
            lost: 0,
            overflown: 0,
        }
    }

    /// From now on the weather is this, but for the seed.
    pub(crate) fn change(&mut self, weather: Weather) {
        self.weather = weather;
    }

    /// How long a datagram that is sent now waits.
    pub(crate) fn queue(&self, now: Instant) -> Duration {
        self.free_at.map_or(Duration::ZERO, |free_at| free_at.saturating_duration_since(now))
    }

    /// When a datagram of so many bytes that is sent now arrives; `None` if it is lost.
    pub(crate) fn carry(&mut self, length: usize, now: Instant) -> Option<Instant> {
        let mut leaves = now;
        if let Some(Rate { bits_per_second, queue_bytes }) = self.weather.rate {
            let bytes = length as u64 + HEADER_BYTES;
            let nanos = |bytes: u64| Duration::from_nanos(bytes * 8_000_000_000 / bits_per_second);
            let begins = self.free_at.map_or(now, |free_at| free_at.max(now));
            if begins - now + nanos(bytes) > nanos(queue_bytes) {
                self.overflown += 1;
                return None;
            }
            leaves = begins + nanos(bytes);
            self.free_at = Some(leaves);
        }
        if draw(&mut self.dice, 0..1000) < self.weather.loss_permille {
            self.lost += 1;
            return None;
        }
        let delay = draw(&mut self.dice, self.weather.delay_micros.clone());
        let mut arrives = leaves + Duration::from_micros(delay);
        let began = *self.began.get_or_insert(now);
        if self.weather.together_millis > 0 {
            let together = self.weather.together_millis;
            let millis = (arrives - began).as_millis() as u64;
            arrives = began + Duration::from_millis((millis / together + 1) * together);
        }
        if self.weather.in_order {
            arrives = self.last_arrival.map_or(arrives, |last| last.max(arrives));
            self.last_arrival = Some(arrives);
        }
        Some(arrives)
    }

    /// How many datagrams have been lost by chance.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }

    /// How many datagrams have found the queue full.
    pub(crate) fn overflown(&self) -> u64 {
        self.overflown
    }
}

/// SplitMix64. An empty range gives its start.
fn draw(state: &mut u64, range: Range<u64>) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ *state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    range.start + (mixed ^ mixed >> 31).checked_rem(range.end - range.start).unwrap_or(0)
}
