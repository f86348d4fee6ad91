//! What is done with a panic of somebody else's code: one line in the log, and no second panic.

use std::{
    any::Any,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::log_limit::LogLimit;

/// Reports the panics of one part of the engine.
#[derive(Debug)]
pub(crate) struct PanicLog {
    part: &'static str,
    limit: LogLimit,
}

impl PanicLog {
    /// `part` is what the log calls the part.
    pub(crate) fn new(part: &'static str) -> Self {
        Self { part, limit: LogLimit::new() }
    }

    /// Logs a panic, at most one a second, and drops its payload. Never unwinds.
    pub(crate) fn report(&self, payload: Box<dyn Any + Send>) {
        if let Some(suppressed) = self.limit.permit() {
            // The subscriber is the user's code.
            contain(|| {
                let what = text(payload.as_ref());
                tracing::error!(part = self.part, suppressed, "a callback panicked: {what:?}");
            });
        }
        // So is the payload. Apart from the line above, because a panic while another unwinds aborts.
        contain(|| drop(payload));
    }
}

/// Runs somebody else's code and swallows its panic, payload and all.
pub(crate) fn contain(code: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(code))
        && let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload)))
    {
        // It may go on like this for ever; the leak is the lesser evil.
        mem::forget(again);
    }
}

pub(crate) fn text(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a value that is no text")
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
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
    fn texts_are_told_and_other_values_are_not() {
        assert_eq!(text(&"a"), "a");
        assert_eq!(text(&String::from("b")), "b");
        assert_eq!(text(&7_u8), "a value that is no text");
    }
}
