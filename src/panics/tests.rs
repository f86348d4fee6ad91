use super::*;

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("on purpose");
    }
}

#[test]
fn the_payload_of_a_panic_that_is_contained_is_dropped() {
    let payload = std::sync::Arc::new(());
    let thrown = std::sync::Arc::clone(&payload);
    contain(|| std::panic::panic_any(thrown));
    assert_eq!(std::sync::Arc::strong_count(&payload), 1);
}

#[test]
fn a_payload_whose_drop_panics_is_survived() {
    let log = PanicLog::new("test");
    for _ in 0..3 {
        log.report(Box::new(Bomb));
    }
    contain(|| std::panic::panic_any(Bomb));
}

#[test]
fn texts_are_shown_and_other_values_are_not() {
    assert_eq!(text(&"a"), "a");
    assert_eq!(text(&String::from("b")), "b");
    assert_eq!(text(&7_u8), "a value that is no text");
}
