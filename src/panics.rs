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
mod tests;
