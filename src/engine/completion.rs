//! Tells the submitter of an event that its callback has returned.

use std::{
    sync::Arc,
    task::{Context, Poll, Waker},
};

use crate::{panics::contain, sync::Mutex};

#[derive(Debug)]
enum State {
    Pending(Option<Waker>),
    Returned,
    /// The event was dropped before its callback began.
    NeverRan,
}

/// The submitter's end.
#[derive(Debug)]
pub(crate) struct Completion(Arc<Mutex<State>>);

/// The event's end. The submitter is notified when it is dropped.
#[derive(Debug)]
pub(crate) struct Completer {
    state: Arc<Mutex<State>>,
    runs: bool,
}

pub(super) fn completion() -> (Completer, Completion) {
    let state = Arc::new(Mutex::new(State::Pending(None)));
    (Completer { state: Arc::clone(&state), runs: false }, Completion(state))
}

impl Completer {
    /// Another end for somebody else who wants to know.
    pub(super) fn completion(&self) -> Completion {
        Completion(Arc::clone(&self.state))
    }

    /// The callback begins. Whether it returns or panics, it has run.
    pub(super) fn runs(&mut self) {
        self.runs = true;
    }
}

impl Drop for Completer {
    fn drop(&mut self) {
        let next = if self.runs { State::Returned } else { State::NeverRan };
        let before = std::mem::replace(&mut *self.state.lock(), next);
        if let State::Pending(Some(waker)) = before {
            contain(|| waker.wake());
        }
    }
}

impl Completion {
    /// Whether the event was dropped before its callback began, as far as is known.
    pub(super) fn never_ran(&self) -> bool {
        matches!(*self.0.lock(), State::NeverRan)
    }

    /// Whether the callback has returned, or never will.
    pub(super) fn has_ended(&self) -> bool {
        !matches!(*self.0.lock(), State::Pending(_))
    }

    /// Whether the callback has run, once that is known.
    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Poll<bool> {
        // The waker is the user's code: cloned before the lock is taken, the old one dropped after it is free.
        let waker = context.waker().clone();
        let mut state = self.0.lock();
        match &mut *state {
            State::Pending(place) => {
                let before = place.replace(waker);
                drop(state);
                contain(|| drop(before));
                Poll::Pending
            }
            State::Returned => Poll::Ready(true),
            State::NeverRan => Poll::Ready(false),
        }
    }
}
