use super::*;

fn at(seconds: u64) -> Moment {
    let begin = Moment::now();
    // From one and the same moment.
    let offset = nanos(Duration::from_secs(seconds));
    begin.after_nanos(u64::MAX / 2 + offset - begin.as_nanos())
}

#[test]
fn the_mark_halves_each_minute_and_rises_at_once() {
    let mark = HighWater::default();
    mark.note(70);
    mark.note(800);
    mark.note(90);
    assert_eq!(mark.look(3, at(0)), 800);
    assert_eq!(mark.look(0, at(0)), 800, "another reader sees the same");
    assert_eq!(mark.look(0, at(15)), 673, "four fifths between two scrapes");
    assert_eq!(mark.look(0, at(60)), 400);
    assert_eq!(mark.look(0, at(300)), 25, "a thirtieth");
    assert_eq!(mark.look(30, at(300)), 30);
    mark.note(1_000);
    assert_eq!(mark.look(30, at(301)), 1_000);
    assert_eq!(mark.look(30, at(3_000)), 30, "never below what is in flight");
    assert_eq!(mark.look(0, at(10_000)), 0);
}

#[test]
fn how_often_it_is_read_does_not_matter() {
    let [seldom, often] = [HighWater::default(), HighWater::default()];
    assert_eq!([&seldom, &often].map(|mark| mark.look(1_000, at(0))), [1_000, 1_000]);
    (1..120).for_each(|second| _ = often.look(0, at(second)));
    assert_eq!([&seldom, &often].map(|mark| mark.look(0, at(120))), [250, 250]);
}

#[test]
fn a_reading_that_comes_late_raises_nothing() {
    let mark = HighWater::default();
    assert_eq!(mark.look(100, at(60)), 100);
    assert_eq!(mark.look(0, at(0)), 100);
    assert_eq!(mark.look(0, at(120)), 50);
}
