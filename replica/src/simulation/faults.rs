//! Who has which fault, and when what happens to it.

use std::time::Duration;

use super::{
    events::{Event, Events},
    hostile::Kind,
    options::Options,
    random::Random,
};

/// When the first replica publishes: all are connected, and their first questions answered.
pub(super) const PUBLISHED_AT: Duration = Duration::from_secs(1);
/// Within how much time of that who dies does so.
const DEATHS: Duration = Duration::from_secs(1);
/// How long one that restarts is gone at the most.
const MAX_PAUSE: Duration = Duration::from_secs(10);
/// Within how much time of the publication who joins does so.
const JOINS: Duration = Duration::from_secs(5);

/// What a replica is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Fate {
    #[default]
    Sound,
    Hostile(Kind),
    Dies,
    Restarts,
    Joins,
    Slow,
}

impl Fate {
    /// Whether it is to hold everything in the end, and to pass it on.
    pub(super) fn is_lasting(self) -> bool {
        !matches!(self, Self::Hostile(_) | Self::Dies)
    }
}

/// Who is what. The first one is sound.
pub(super) fn fates(options: &Options, random: &mut Random) -> Vec<Fate> {
    let count = options.replicas;
    let part = |part: f64| (part * count as f64).round() as usize;
    let faults = &options.faults;
    let mut fates: Vec<Fate> =
        (0..part(faults.hostile)).map(|n| Fate::Hostile(Kind::nth(n))).collect();
    for (fate, part) in [
        (Fate::Dies, part(faults.dead)),
        (Fate::Restarts, part(faults.restarting)),
        (Fate::Joins, part(faults.joining)),
        (Fate::Slow, part(faults.slow)),
    ] {
        fates.extend(vec![fate; part]);
    }
    fates.resize(count - 1, Fate::Sound);
    random.shuffle(&mut fates);
    fates.insert(0, Fate::Sound);
    fates
}

/// Puts all that is to happen into the heap.
pub(super) fn schedule(
    options: &Options,
    fates: &[Fate],
    events: &mut Events,
    random: &mut Random,
) {
    let published = nanos(PUBLISHED_AT);
    for (node, fate) in (0..).zip(fates) {
        let start = match fate {
            Fate::Joins => published + random.below(nanos(JOINS)),
            _ => 0,
        };
        events.at(start, Event::Start { node });
        if matches!(fate, Fate::Dies | Fate::Restarts) {
            let stop = published + random.below(nanos(DEATHS));
            events.at(stop, Event::Stop { node });
            if *fate == Fate::Restarts {
                events.at(stop + random.below(nanos(MAX_PAUSE)), Event::Start { node });
            }
        }
    }
    if !options.faults.partition.is_zero() {
        events.at(published, Event::Split);
        events.at(published + nanos(options.faults.partition), Event::Heal);
    }
    events.at(published, Event::Publish);
}

pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
