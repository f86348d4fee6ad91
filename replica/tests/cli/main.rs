//! The program as its users have it: what it prints, what it answers, and how it ends.
//!
//! No test depends on speed: each waits for what has to happen, and fails loudly when it does not
//! within a generous limit.

mod demo;
mod program;
mod refusals;
mod run;
