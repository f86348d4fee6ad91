//! What the benches share: the message, the proof that each one was handled exactly once, when
//! messages are due and how they are submitted, the statistics, and where results go.

pub(crate) mod changes;
pub(crate) mod clock;
pub(crate) mod cores;
pub(crate) mod disturbance;
pub(crate) mod folder;
pub(crate) mod ledger;
pub(crate) mod machine;
pub(crate) mod memory;
pub(crate) mod output;
pub(crate) mod processor;
pub(crate) mod rounds;
pub(crate) mod statistics;
pub(crate) mod streams;
pub(crate) mod work;
