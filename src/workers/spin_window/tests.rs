use super::*;

const LONGEST: u64 = 200_000;

/// A worker that has looked for the whole window in vain is needed so long after it began to.
fn needed_after(window_of: &SpinWindow, waited: u64) -> u64 {
    window_of.gives_up(1_000);
    window_of.is_needed(1_000 + waited, LONGEST);
    window_of.window(LONGEST, 0)
}

#[test]
fn it_is_as_long_as_may_be_until_it_was_in_vain() {
    let window_of = SpinWindow::new();
    assert_eq!(window_of.window(LONGEST, 0), LONGEST);
    window_of.is_needed(5, LONGEST);
    assert_eq!(window_of.window(LONGEST, 0), LONGEST, "nobody had given up");
}

#[test]
fn long_waits_close_it_and_short_ones_open_it_again() {
    let window_of = SpinWindow::new();
    let after_long = [100_000, 50_000, 25_000, 12_500, 0, 0];
    for window in after_long {
        assert_eq!(needed_after(&window_of, LONGEST + 1), window);
    }
    for window in [10_000, 20_000, 40_000, 80_000, 160_000, LONGEST, LONGEST] {
        assert_eq!(needed_after(&window_of, LONGEST), window);
    }
}

#[test]
fn a_wait_is_counted_once() {
    let window_of = SpinWindow::new();
    assert_eq!(needed_after(&window_of, LONGEST + 1), 100_000);
    window_of.is_needed(1_000_000, LONGEST);
    assert_eq!(window_of.window(LONGEST, 0), 100_000);
}

#[test]
fn a_late_yield_bars_it_for_a_while_and_teaches_nothing() {
    let window_of = SpinWindow::new();
    window_of.gives_up(1_000);
    window_of.bar(5_000);
    for now in [0, 5_000, 5_000 + BAR - 1] {
        assert_eq!(window_of.window(LONGEST, now), 0);
        assert_eq!(window_of.window(u64::MAX, now), 0);
    }
    // Who gave up before that was not in vain for want of work.
    window_of.is_needed(1_000_000, LONGEST);
    assert_eq!(window_of.window(LONGEST, 5_000 + BAR), LONGEST);
}

/// For how long the window is closed by a late yield at this time.
fn barred_at(window_of: &SpinWindow, now: u64) -> u64 {
    window_of.bar(now);
    window_of.barred.load(Ordering::Relaxed) - now
}

#[test]
fn late_yields_bar_it_for_longer_each_time_until_looking_was_quiet_for_long_enough() {
    let window_of = SpinWindow::new();
    let mut now = 0;
    window_of.looked(QUIET + 1);
    for bar in [1, 2, 4, 8, 16, 32, 64, 128, 256, 256] {
        assert_eq!(barred_at(&window_of, now), bar * BAR);
        // Another worker's late yield of the same moment.
        window_of.bar(now + 1);
        now += bar * BAR;
        // However seldom: what counts is for how long they look.
        now += 1_000 * BAR;
        window_of.looked(QUIET / 2);
        window_of.looked(QUIET / 2);
    }
    assert_eq!(barred_at(&window_of, now), 256 * BAR);
    window_of.looked(QUIET);
    window_of.looked(1);
    assert_eq!(barred_at(&window_of, now + 256 * BAR), BAR);
}

#[test]
fn the_end_of_time_bars_it_for_ever_and_overflows_nothing() {
    let window_of = SpinWindow::new();
    window_of.bar(u64::MAX - 1);
    assert_eq!(window_of.window(LONGEST, u64::MAX - 1), 0);
    window_of.gives_up(u64::MAX - 1);
    window_of.is_needed(0, u64::MAX);
    assert_eq!(window_of.width(u64::MAX), u64::MAX, "a clock that goes back is no long wait");
}

#[test]
fn it_is_never_longer_than_may_be() {
    let window_of = SpinWindow::new();
    for longest in [0, 1, 9_999, 10_001] {
        window_of.gives_up(0);
        window_of.is_needed(0, longest);
        assert!(window_of.window(u64::MAX, 0) <= longest);
    }
}
