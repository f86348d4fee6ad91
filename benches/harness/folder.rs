//! Where the benches and the report meet: `target/results`.

use std::{env, io, path::PathBuf};

/// `results` in this build's target folder, wherever that is: benches lie in
/// `<target>/<profile>/deps/`.
pub(crate) fn results() -> io::Result<PathBuf> {
    let program = env::current_exe()?;
    let target = program.ancestors().nth(3).ok_or(io::ErrorKind::NotFound)?;
    Ok(target.join("results"))
}
