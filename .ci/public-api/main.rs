//! Prints the public API that a file of rustdoc's JSON describes, an item a line. What the compiler adds to each type
//! and no stable program can ask for is left out.

use std::{env, error::Error};

const UNSTABLE: [&str; 3] = ["marker::Freeze", "marker::StructuralPartialEq", "marker::UnsafeUnpin"];

fn main() -> Result<(), Box<dyn Error>> {
    let json = env::args_os().nth(1).ok_or("name a file of rustdoc's JSON")?;
    let api = public_api::Builder::from_rustdoc_json(json)
        .omit_blanket_impls(true)
        .build()?;
    for line in api.items().map(ToString::to_string) {
        if !UNSTABLE.iter().any(|name| line.contains(name)) {
            println!("{line}");
        }
    }
    Ok(())
}
