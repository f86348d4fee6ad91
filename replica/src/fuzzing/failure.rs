//! Stands in for the program's failure where the library's fuzz targets read the program's configuration.

use std::fmt;

/// What is wrong with a configuration.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self(message.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
