//! The command line of the reference replica.

fn main() {}
