//! A log or a standard output that takes nothing: the replica runs on without it.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{Read as _, Write as _, pipe},
    os::unix::ffi::OsStringExt as _,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use serde_json::Value;
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

/// Names that are text for a terminal, a shell or a parser, and one that is no text.
fn odd_names() -> Vec<OsString> {
    let texts = [
        "a\nb",
        "\"quoted\" \\",
        "\u{1b}[31mred\u{7}",
        "\u{0085}\u{2028}",
        "{}",
        "naïve 文件",
        "\t",
    ];
    let mut names: Vec<OsString> = texts.map(OsString::from).into();
    names.push(OsString::from_vec(b"\xff\xfe\x80".into()));
    names
}

/// Each line of a log, which is JSON.
#[track_caller]
fn parsed(log: &str) -> Vec<Value> {
    let parse = |line: &str| -> Value {
        let parsed: Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let timestamp = parsed["timestamp"].as_str().expect("when");
        assert!(timestamp.starts_with("20") && timestamp.ends_with('Z'), "{timestamp}");
        let level = parsed["level"].as_str().expect("how bad");
        assert!(["ERROR", "WARN", "INFO", "DEBUG", "TRACE"].contains(&level), "{line}");
        assert!(!parsed["target"].as_str().expect("who").is_empty());
        assert!(parsed["fields"].is_object(), "{line}");
        parsed
    };
    log.lines().map(parse).collect()
}

#[test]
fn as_json_each_line_is_an_object_whatever_is_in_it() {
    let folder = TempDir::new().unwrap();
    let mut node = Node::new(folder.path().join("one"));
    for name in odd_names() {
        let outbox = node.folder.join("outbox");
        // Neither is published, and the log says why.
        std::os::unix::fs::symlink("/nowhere", outbox.join(&name)).unwrap();
        let mut key = OsString::from("key ");
        key.push(&name);
        fs::write(outbox.join(key), "-----BEGIN PRIVATE KEY-----\n").unwrap();
    }
    let log = folder.path().join("log");
    let file = File::create(&log).unwrap().into();
    let arguments = ["run", "--log", LOUD, "--log-format", "json", "--config"];
    let running = node.start_as(command(arguments), file, &[]);
    node.publish(0..1);
    until("it is published", || node.count() == 1);
    let said = |what: &str| {
        let log = fs::read_to_string(&log).unwrap();
        // The last line may not be whole.
        let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let mut lines = parsed(whole).into_iter().map(|line| line["fields"].to_string());
        lines.any(|fields| fields.contains(what))
    };
    // A name as `Debug` has it, within a text of JSON.
    for name in odd_names() {
        let shown = serde_json::to_string(&format!("{name:?}")).unwrap();
        let shown = shown.trim_matches('"').trim_start_matches("\\\"").trim_end_matches("\\\"");
        until(&format!("{shown} is named"), || said(shown));
    }
    end(running);
    let lines = parsed(&fs::read_to_string(&log).unwrap());
    let mut messages = lines.iter().filter_map(|line| line["fields"]["message"].as_str());
    assert!(messages.any(|message| message.contains("store opened")), "{lines:?}");
}

#[test]
fn as_json_a_fault_is_an_object_too() {
    let arguments = ["run", "--log-format=json", "--config=/no/such\n\u{1b}.toml"];
    let output = command(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let lines = parsed(&String::from_utf8(output.stderr).unwrap());
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(
        (&lines[0]["level"], &lines[0]["target"]),
        (&"ERROR".into(), &"gossip_replica".into())
    );
    let message = lines[0]["fields"]["message"].as_str().unwrap();
    assert!(message.starts_with("error: cannot read the configuration /no/such\\n"), "{message}");
}

#[test]
fn as_json_the_demo_logs_as_well() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("file"), "something").unwrap();
    let arguments = ["demo", "--replicas=2", "--log=debug", "--log-format=json", "--dir"];
    let output = command(arguments).arg(folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(parsed(&String::from_utf8(output.stderr).unwrap()).len() > 2);
}

#[test]
fn as_json_a_log_that_takes_nothing_takes_nothing_from_the_replica() {
    for log in [full_device(), closed_pipe()] {
        let folder = TempDir::new().unwrap();
        let mut node = Node::new(folder.path().join("one"));
        let arguments = ["run", "--log", LOUD, "--log-format=json", "--config"];
        let running = node.start_as(command(arguments), log, &[]);
        node.publish(0..1);
        until("it is published", || node.count() == 1);
        end(running);
    }
}
