//! `gossip-replica top`: in a pseudo-terminal, beside a replica.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read as _, Write as _},
    path::Path,
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
    },
    thread,
};

use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize},
};
use tempfile::TempDir;

use crate::{
    page::start,
    program::{Running, command, output, until},
};

const ENTER: &str = "\u{1b}[?1049h";
const LEAVE: &str = "\u{1b}[?1049l";

/// A terminal, and all that it was sent.
struct Terminal {
    keyboard: File,
    /// The program's side, held open so that its modes can be read at the end.
    program: File,
    seen: Arc<Mutex<Vec<u8>>>,
    rows: AtomicU16,
}

/// Both sides of a new one: that of the keyboard and the screen, and that of a program.
fn open() -> (File, File) {
    let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&keyboard).unwrap();
    unlockpt(&keyboard).unwrap();
    let path = ptsname(&keyboard, Vec::new()).unwrap().into_string().unwrap();
    let program = OpenOptions::new().read(true).write(true).open(path).unwrap();
    (keyboard.into(), program)
}

/// The program, with all that it has to say there.
fn top(terminal: &File, http: &str) -> Running {
    let side = || Stdio::from(terminal.try_clone().unwrap());
    Running::start_with(command(["top", "--http", http]).stdin(side()), side(), side())
}

/// Whether a shell could go on in it: keys are echoed, and come by the line.
fn is_restored(terminal: &File) -> bool {
    let modes = tcgetattr(terminal).unwrap().local_modes;
    modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
}

impl Terminal {
    fn new() -> Self {
        let (keyboard, program) = open();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (mut screen, all) = (keyboard.try_clone().unwrap(), seen.clone());
        // Ends when the program's side is closed.
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = screen.read(&mut buffer) {
                all.lock().unwrap().extend_from_slice(&buffer[..read]);
            }
        });
        let terminal = Self { keyboard, program, seen, rows: AtomicU16::new(30) };
        terminal.resize();
        terminal
    }

    /// What is drawn next is drawn in full, and not as what has changed since.
    fn resize(&self) {
        let rows = self.rows.fetch_xor(1, Ordering::Relaxed);
        let size = Winsize { ws_row: rows, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.keyboard, size).unwrap();
    }

    fn seen(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().unwrap()).into_owned()
    }

    fn shows(&self, text: &str) -> bool {
        self.resize();
        self.seen().contains(text)
    }
}

/// A replica that publishes a file, where its page is, and what its folder is called.
fn replica(folder: &Path) -> (Running, String, String) {
    let (replica, http) = start(folder, "http = '0'");
    fs::write(folder.join("outbox/file"), [7; 5_000]).unwrap();
    let id = output(["id", folder.join("key").to_str().unwrap()]).stdout;
    (replica, http.unwrap(), String::from_utf8(id).unwrap()[..16].to_owned())
}

#[test]
fn it_shows_a_folder_and_gives_the_terminal_back() {
    let folder = TempDir::new().unwrap();
    let (replica, http, name) = replica(folder.path());
    for way in ["q", "\u{1b}", "\u{3}", "TERM", "INT", "HUP"] {
        let terminal = Terminal::new();
        let mut running = top(&terminal.program, &http);
        until("the folder is shown", || terminal.shows(&name));
        assert!(terminal.seen().contains(ENTER) && !is_restored(&terminal.program));
        match way.len() {
            1 => (&terminal.keyboard).write_all(way.as_bytes()).unwrap(),
            _ => running.signal(way),
        }
        assert_eq!(running.end().code(), Some(0), "{way:?}");
        until("the terminal has taken all", || terminal.seen().contains(LEAVE));
        assert!(is_restored(&terminal.program), "{way:?}");
        let seen = terminal.seen();
        let (_, after) = seen.rsplit_once(LEAVE).unwrap();
        assert!(!after.contains(&name) && !after.contains(ENTER), "{after:?}");
    }
    replica.kill();
}

#[test]
fn a_replica_that_is_gone_is_shown_as_it_was() {
    let folder = TempDir::new().unwrap();
    let (replica, http, name) = replica(folder.path());
    let terminal = Terminal::new();
    let mut running = top(&terminal.program, &http);
    until("the folder is shown", || terminal.shows(&name));
    replica.kill();
    until("it is said", || terminal.shows(&format!(" ago: cannot ask {http}")));
    terminal.seen.lock().unwrap().clear();
    until("the folder is still shown", || terminal.shows(&name));
    (&terminal.keyboard).write_all(b"q").unwrap();
    assert_eq!(running.end().code(), Some(0));
}

#[test]
fn a_terminal_that_is_gone_ends_it() {
    let (keyboard, program) = open();
    let mut running = top(&program, "1");
    until("it has begun", || !is_restored(&program));
    drop((keyboard, program));
    assert_eq!(running.end().code(), Some(1));
}

#[test]
fn what_is_no_terminal_is_refused() {
    let refused = output(["top", "--http", "1"]);
    assert_eq!(refused.status.code(), Some(2));
    let error = String::from_utf8(refused.stderr).unwrap();
    assert!(error.contains("no terminal") && error.contains("status --json"), "{error}");
    assert!(refused.stdout.is_empty());
}
