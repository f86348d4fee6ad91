//! Bounds, whatever is acknowledged. What lines carry is tested in the transport's lab.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use quinn::congestion::Controller as _;

use super::{FIRST_WINDOW_PACKETS, MIN_WINDOW_PACKETS, Window};

const MTU: u64 = 1200;

#[derive(Clone, Debug)]
enum Event {
    Sent,
    Acked { micros: u64, bytes: u64, idle: bool },
    Ended { number: u64 },
    Lost { bytes: u64, persistent: bool },
    Mtu(u16),
    Passed { micros: u64 },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::Sent),
        (0..10_000_000_u64, 0..100_000_u64, any::<bool>())
            .prop_map(|(micros, bytes, idle)| Event::Acked { micros, bytes, idle }),
        (0..100_u64).prop_map(|number| Event::Ended { number }),
        (0..1_000_000_u64, any::<bool>())
            .prop_map(|(bytes, persistent)| Event::Lost { bytes, persistent }),
        (1200..1500_u16).prop_map(Event::Mtu),
        (0..20_000_000_u64).prop_map(|micros| Event::Passed { micros }),
    ]
}

proptest! {
    #[test]
    fn any_acknowledgements_keep_the_window_within_bounds(
        events in prop::collection::vec(event(), 0..300),
    ) {
        let mut now = Instant::now();
        let (mut window, mut sent) = (Window::new(now, MTU), 0);
        for event in events {
            match event {
                Event::Sent => {
                    sent += 1;
                    window.on_sent(now, MTU, sent);
                }
                Event::Acked { micros, bytes, idle } => {
                    window.acknowledged(Duration::from_micros(micros), bytes, idle, now);
                }
                Event::Ended { number } => window.on_end_acks(now, 0, false, Some(number)),
                Event::Lost { bytes, persistent } => {
                    window.on_congestion_event(now, now, persistent, bytes);
                }
                Event::Mtu(mtu) => window.on_mtu_update(mtu),
                Event::Passed { micros } => now += Duration::from_micros(micros),
            }
            let bounds = MIN_WINDOW_PACKETS * window.mtu..=u32::MAX.into();
            prop_assert!(bounds.contains(&window.window()), "{:?}", window);
        }
    }
}

#[test]
fn it_begins_anew_when_nothing_arrives() {
    let now = Instant::now();
    let mut window = Window::new(now, MTU);
    assert_eq!(window.window(), FIRST_WINDOW_PACKETS * MTU);
    for _ in 0..100 {
        window.acknowledged(Duration::from_millis(50), MTU, false, now);
    }
    assert_eq!(window.window(), (FIRST_WINDOW_PACKETS + 100) * MTU, "it grows by what arrives");
    window.on_congestion_event(now, now, true, MTU);
    assert_eq!(window.window(), MIN_WINDOW_PACKETS * MTU);
    window.acknowledged(Duration::from_millis(50), MTU, false, now);
    assert_eq!(window.window(), (MIN_WINDOW_PACKETS + 1) * MTU);
}

#[test]
fn an_idle_connection_does_not_grow() {
    let now = Instant::now();
    let mut window = Window::new(now, MTU);
    window.acknowledged(Duration::from_millis(50), MTU, true, now);
    assert_eq!(window.window(), FIRST_WINDOW_PACKETS * MTU);
}
