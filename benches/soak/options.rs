//! What the command line asks for.

use std::{env, error::Error, time::Duration};

use crate::harness::output;

#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) until: Until,
    pub(crate) producers: usize,
    pub(crate) seed: u64,
}

/// When the load ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    Time(Duration),
    /// The handler has been called with so many events.
    Messages(u64),
}

impl Options {
    /// # Errors
    ///
    /// What the command line says and cannot be.
    pub(crate) fn read() -> Result<Self, Box<dyn Error>> {
        let seconds = if output::is_quick() { 3 } else { 60 };
        let until = Until::Time(Duration::from_secs(seconds));
        let mut options = Self { until, producers: 8, seed: 0x736f_616b };
        let mut arguments = env::args().skip(1);
        while let Some(name) = arguments.next() {
            // Cargo's own.
            if name == "--bench" {
                continue;
            }
            let value = arguments.next().ok_or_else(|| format!("{name}: no value"))?;
            let wrong = |error: &dyn Error| format!("{name} {value}: {error}");
            match name.as_str() {
                "--minutes" => {
                    let minutes: f64 = value.parse().map_err(|error| wrong(&error))?;
                    let time = Duration::try_from_secs_f64(minutes * 60.0);
                    options.until = Until::Time(time.map_err(|error| wrong(&error))?);
                }
                "--messages" => {
                    options.until = Until::Messages(value.parse().map_err(|error| wrong(&error))?);
                }
                "--producers" => {
                    options.producers = value.parse().map_err(|error| wrong(&error))?
                }
                "--seed" => options.seed = value.parse().map_err(|error| wrong(&error))?,
                _ => return Err(format!("{name}: not known").into()),
            }
        }
        match options.producers {
            1..=16 => Ok(options),
            _ => Err("--producers: give it 1 to 16".into()),
        }
    }
}
