//! A log or a standard output that takes nothing: the replica runs on without it.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read as _, Write as _, pipe},
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use tempfile::TempDir;

use crate::{
    node::{Node, until_all_hold},
    program::{Running, command, until},
};

/// Everything that the program and its libraries have to say.
const LOUD: &str = "trace";

fn full_device() -> Stdio {
    OpenOptions::new().write(true).open("/dev/full").unwrap().into()
}

/// A pipe that nobody reads from any more.
fn closed_pipe() -> Stdio {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    writer.into()
}

/// A pipe that is full until it is read from.
struct FullPipe {
    reader: std::io::PipeReader,
    stop: Arc<AtomicBool>,
}

impl FullPipe {
    fn new() -> (Self, Stdio) {
        let (reader, writer) = pipe().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let (mut filler, stopped) = (writer.try_clone().unwrap(), stop.clone());
        // Stands in its write as long as nobody reads, and so keeps the pipe full.
        thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) && filler.write_all(&[b'\n'; 4096]).is_ok() {}
        });
        (Self { reader, stop }, writer.into())
    }

    /// Reads from now on, to the end.
    fn read(mut self) -> thread::JoinHandle<String> {
        self.stop.store(true, Ordering::Relaxed);
        thread::spawn(move || {
            let mut text = Vec::new();
            self.reader.read_to_end(&mut text).unwrap();
            String::from_utf8_lossy(&text).into_owned()
        })
    }
}

fn run_loudly() -> std::process::Command {
    command(["run", "--log", LOUD, "--config"])
}

fn end(mut running: Running) {
    running.signal("TERM");
    assert_eq!(running.end().code(), Some(0));
    let summary = running.line();
    assert!(summary.ends_with(" clean=true"), "{summary}");
}

/// A replica whose log goes to `log` starts, gossips with another one, and ends in order.
fn runs_on(log: Stdio) {
    let folder = TempDir::new().unwrap();
    let mut nodes = ["one", "two"].map(|name| Node::new(folder.path().join(name)));
    nodes.sort_by(|one, two| one.id.cmp(&two.id));
    let [mut one, mut two] = nodes;
    // The one with the smaller id dials.
    let other = two.start(&[(one.id.clone(), "127.0.0.1:9".to_owned())]);
    let peers = [(two.id.clone(), two.address.clone())];
    let running = one.start_as(run_loudly(), log, &peers);
    one.publish(0..20);
    two.publish(20..40);
    until_all_hold(&[&one, &two], 0..40);
    end(running);
    end(other);
}

#[test]
fn a_log_disk_that_is_full_takes_nothing_from_the_replica() {
    runs_on(full_device());
}

#[test]
fn a_log_pipe_that_is_closed_takes_nothing_from_the_replica() {
    runs_on(closed_pipe());
}

#[test]
fn a_log_pipe_that_nobody_reads_holds_nothing_up() {
    let (pipe, log) = FullPipe::new();
    runs_on(log);
    drop(pipe);
}

#[test]
fn a_log_pipe_that_is_read_again_goes_on_with_the_log() {
    let folder = TempDir::new().unwrap();
    let mut node = Node::new(folder.path().join("one"));
    let (pipe, log) = FullPipe::new();
    let running = node.start_as(command(["run", "--config"]), log, &[]);
    let reading = pipe.read();
    node.publish(0..1);
    until("it is published", || node.count() == 1);
    end(running);
    let log = reading.join().unwrap();
    assert!(log.contains("store opened"), "what was said meanwhile was kept: {log}");
    assert!(log.contains("published"), "{log}");
}

#[test]
fn a_standard_output_that_takes_nothing_takes_nothing_from_the_replica() {
    let (pipe, stuck) = FullPipe::new();
    for stdout in [full_device(), closed_pipe(), stuck] {
        let folder = TempDir::new().unwrap();
        let node = Node::new(folder.path().join("one"));
        node.publish(0..3);
        node.write_config(&[]);
        let log = folder.path().join("log");
        let mut command = command(["run", "--config"]);
        command.arg(node.folder.join("config.toml"));
        let mut running =
            Running::start_with(&mut command, stdout, File::create(&log).unwrap().into());
        until("all is published", || node.folder.join("store").exists() && node.count() == 3);
        running.signal("TERM");
        assert_eq!(running.end().code(), Some(0), "{}", fs::read_to_string(&log).unwrap());
    }
    drop(pipe);
}

#[test]
fn a_fault_that_nobody_can_be_told_of_still_has_its_status() {
    let (pipe, stuck) = FullPipe::new();
    for log in [full_device(), closed_pipe(), stuck] {
        let mut command = command(["run", "--config", "/no/such.toml"]);
        let mut running = Running::start_with(&mut command, Stdio::null(), log);
        assert_eq!(running.end().code(), Some(2));
    }
    drop(pipe);
}
