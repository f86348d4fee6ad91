//! A message on its way to its handler, with what the flow must know of it.

use super::admission::Weigh;
use crate::clock::Moment;

/// A message on its way to its handler.
#[derive(Debug)]
pub(crate) struct Brought<M> {
    pub(super) message: M,
    /// When its submitter brought it.
    pub(super) arrived: Moment,
    /// How large it is.
    bytes: u32,
    /// Its bytes are taken off when it leaves.
    charged: bool,
}

impl<M> Brought<M> {
    /// One of so many bytes, at least 1.
    pub(super) fn new(message: M, arrived: Moment, bytes: u32) -> Self {
        Self { message, arrived, bytes, charged: false }
    }

    /// What it was charged.
    pub(super) fn charge(&self) -> u32 {
        if self.charged { self.bytes } else { 0 }
    }
}

impl<M> Weigh for Brought<M> {
    fn bytes(&self) -> u32 {
        self.bytes
    }

    fn charged(&mut self) {
        self.charged = true;
    }
}
