//! What the benches share: the message, the proof that each one was handled exactly once, the
//! statistics, and where results go.

pub(crate) mod disturbance;
pub(crate) mod folder;
pub(crate) mod ledger;
pub(crate) mod output;
pub(crate) mod statistics;
