//! Words for people that depend on a number.

const NANOS: i64 = 1_000_000_000;
const DAY_SECONDS: i64 = 86_400;
/// After so many years the calendar repeats itself.
const ERA_YEARS: i64 = 400;
const ERA_DAYS: i64 = 146_097;
/// From the first of March of the year 0 to the first day of 1970.
const DAYS_TO_1970: i64 = 719_468;

/// So many of something: `1 peer`, `2 peers`.
///
/// ```
/// assert_eq!(gossip_replica::words::counted(1, "peer"), "1 peer");
/// assert_eq!(gossip_replica::words::counted(0, "peer"), "0 peers");
/// ```
#[must_use]
pub fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// A point in time, in nanoseconds since 1970, as `2026-11-29 00:45` of UTC.
///
/// ```
/// assert_eq!(gossip_replica::words::date(0), "1970-01-01 00:00");
/// assert_eq!(gossip_replica::words::date(1_709_251_199_999_999_999), "2024-02-29 23:59");
/// assert_eq!(gossip_replica::words::date(-1), "1969-12-31 23:59");
/// ```
#[must_use]
pub fn date(nanos: i64) -> String {
    let seconds = nanos.div_euclid(NANOS);
    // Years begin in March here, so that the day that a leap year has more is the last one.
    let days = seconds.div_euclid(DAY_SECONDS) + DAYS_TO_1970;
    let (era, day) = (days.div_euclid(ERA_DAYS), days.rem_euclid(ERA_DAYS));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // Five months of March to July, and of August to December, have 153 days.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) = match month {
        0..=9 => (era * ERA_YEARS + year, month + 3),
        _ => (era * ERA_YEARS + year + 1, month - 9),
    };
    let minute = seconds.rem_euclid(DAY_SECONDS) / 60;
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}", minute / 60, minute % 60)
}
