//! A seam: before each change of the file system, a test may let it fail, or everything from there on.

#[cfg(not(test))]
mod none {
    use std::{fs::File, io};

    /// Stands before each change of the file system.
    pub(in crate::export) fn step() -> io::Result<()> {
        Ok(())
    }

    /// Has the disk keep a file.
    pub(in crate::export) fn sync(file: &File) -> io::Result<()> {
        file.sync_all()
    }
}

#[cfg(test)]
pub(super) use self::faults::*;
#[cfg(not(test))]
pub(super) use self::none::*;

#[cfg(test)]
mod faults {
    use std::{cell::Cell, fs::File, io};

    thread_local! {
        static STEPS: Cell<u64> = const { Cell::new(0) };
        static FAULT: Cell<Option<(u64, io::ErrorKind, bool)>> = const { Cell::new(None) };
    }

    pub(in crate::export) fn step() -> io::Result<()> {
        let number = STEPS.replace(STEPS.get() + 1);
        match FAULT.get() {
            Some((at, kind, false)) if number == at => Err(kind.into()),
            Some((at, kind, true)) if number >= at => Err(kind.into()),
            _ => Ok(()),
        }
    }

    /// A test's machine keeps its power, and most of their time would go here.
    pub(in crate::export) fn sync(_: &File) -> io::Result<()> {
        step()
    }

    /// From the step `at` on nothing changes any more, as in a process that has died.
    pub(in crate::export) fn crash_at(at: u64) {
        STEPS.set(0);
        FAULT.set(Some((at, io::ErrorKind::Other, true)));
    }

    /// The step `at` fails.
    pub(in crate::export) fn fail_at(at: u64, kind: io::ErrorKind) {
        STEPS.set(0);
        FAULT.set(Some((at, kind, false)));
    }

    /// All is well from now on. How many steps there were.
    pub(in crate::export) fn heal() -> u64 {
        FAULT.set(None);
        STEPS.replace(0)
    }
}
