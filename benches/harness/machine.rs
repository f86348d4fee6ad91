//! The machine that a workload runs on: quiet, or beside one busy thread for each core.
//!
//! A busy thread is a plain loop in a process of its own, bound to its core. The process is this bench, run again
//! with [`SPIN`] in its environment, so each bench that has a busy machine calls [`spin_if_told`] first of all. It is
//! killed when the machine is dropped, and ends by itself within milliseconds when the bench has died.
//!
//! A design that looks for work by spinning shows what that is worth only beside them.

use std::{
    env, hint, io,
    os::unix::process::parent_id,
    process::{self, Child, Command, Stdio},
};

use super::cores;

/// The core that a busy process takes, by its place among those that there are.
const SPIN: &str = "GOSSIP_BENCH_SPIN";
/// Steps between two looks at whether the bench still lives: a millisecond or so.
const STEPS: u32 = 1 << 20;

pub(crate) struct Machine {
    name: &'static str,
    /// One for each core; none on the quiet machine.
    busy: Vec<Child>,
}

impl Machine {
    pub(crate) fn quiet() -> Self {
        Self { name: "quiet", busy: Vec::new() }
    }

    /// # Errors
    ///
    /// If the system starts no process.
    pub(crate) fn busy() -> io::Result<Self> {
        let program = env::current_exe()?;
        let mut machine = Self { name: "busy", busy: Vec::new() };
        for core in 0..cores::count() {
            let mut command = Command::new(&program);
            command.env(SPIN, core.to_string()).stdin(Stdio::null()).stdout(Stdio::null());
            // One by one, so that those which run are killed if the next cannot be started.
            machine.busy.push(command.spawn()?);
        }
        Ok(machine)
    }

    /// What rows call it.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn is_busy(&self) -> bool {
        !self.busy.is_empty()
    }

    /// The processes that keep it busy: what they use is not what others use.
    pub(crate) fn processes(&self) -> Vec<u32> {
        self.busy.iter().map(Child::id).collect()
    }

    /// # Panics
    ///
    /// If one of the busy processes has ended, so that the machine was not as busy as its rows say.
    pub(crate) fn verify(&mut self) {
        for child in &mut self.busy {
            let ended = child.try_wait().expect("it is a child of this process");
            assert!(ended.is_none(), "void: a busy process has ended: {ended:?}");
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        for child in &mut self.busy {
            // Refused, it has ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Does not return in a process that [`Machine::busy`] started.
pub(crate) fn spin_if_told() {
    let Ok(core) = env::var(SPIN) else { return };
    let bench = parent_id();
    cores::only(core.parse().expect("it is a number"));
    while parent_id() == bench {
        for step in 0..STEPS {
            hint::black_box(step);
        }
    }
    process::exit(0);
}
