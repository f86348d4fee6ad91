//! Opening a page in the browser of the person at this machine.

use std::{
    env,
    process::{Command, Stdio},
    thread,
};

/// Has the system open the address, if somebody can see a window here. What fails is no fault: the address was printed.
pub(super) fn open(address: &str) {
    let Some(mut program) = opener() else { return };
    program.arg(address).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if let Ok(mut opening) = program.spawn() {
        // It ends when the browser has the address, or with the browser; until then it is waited for, or its entry
        // in the table of processes would stay.
        let _ = thread::Builder::new().name("opening".into()).spawn(move || opening.wait());
    }
}

fn opener() -> Option<Command> {
    if cfg!(target_os = "macos") {
        return Some(Command::new("open"));
    }
    // Without a display it would take over the terminal with a browser of text.
    let has_display = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| env::var_os(name).is_some());
    has_display.then(|| Command::new("xdg-open"))
}
