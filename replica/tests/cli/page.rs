//! The port to look at: `http`, `gossip-replica status`, `demo --http`, and the page in a real browser.

use std::{
    fs,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::program::{Running, command, output, until};

/// A replica without peers in this folder, and where its page is.
pub(crate) fn start(folder: &Path, http: &str) -> (Running, Option<String>) {
    start_logging(folder, http, Stdio::null())
}

/// The same, with a log.
fn start_logging(folder: &Path, http: &str, log: Stdio) -> (Running, Option<String>) {
    fs::create_dir_all(folder.join("outbox")).unwrap();
    assert!(output(["keygen", folder.join("key").to_str().unwrap()]).status.success());
    let config = folder.join("config.toml");
    let text = format!(
        "listen = '127.0.0.1:0'\nkey_file = 'key'\nstore = 'store'\npublish = 'outbox'\n\
         rescan_seconds = 1\n{http}\npeers = []\n"
    );
    fs::write(&config, text).unwrap();
    let running = Running::start_logging(command(["run", "--config"]).arg(config), log);
    let ready = running.line();
    let http = ready.split_once(" http=").map(|(_, address)| address.to_owned());
    (running, http)
}

pub(crate) fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Past the test harness, which keeps what tests that pass print to itself.
pub(crate) fn tell(line: &str) {
    io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}

#[test]
fn a_replica_prints_its_status() {
    let folder = TempDir::new().unwrap();
    let (running, http) = start(folder.path(), "http = '0'");
    let http = http.unwrap();
    fs::write(folder.path().join("outbox/file"), [7; 5_000]).unwrap();
    let json = || -> Value {
        let output = output(["status", "--json", "--http", &http]);
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    };
    until("the folder is shown", || json()["replica"]["folders"][0]["bytes"] == 5_000);
    let status = json();
    let folder = &status["replica"]["folders"][0];
    assert_eq!(folder["publisher"], status["replica"]["id"]);
    let name = folder["name"].as_str().unwrap();
    assert!(name.len() == 16 && status["replica"]["id"].as_str().unwrap().starts_with(name));
    assert_eq!((&folder["files"], &folder["missing_files"]), (&1.into(), &0.into()));
    let output = output(["status", "--http", &http]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    assert!(text.starts_with("all here, 0 of 0 peers connected\n"), "{text}");
    // The file, and the catalog that names it.
    assert!(text.contains("  2 artifacts, 5.1 kB"), "{text}");
    assert!(text.lines().any(|line| line.starts_with(name) && line.contains("100 %")), "{text}");
    running.kill();
}

#[cfg(unix)]
#[test]
fn a_bound_that_is_read_anew_is_shown() {
    let folder = TempDir::new().unwrap();
    let (running, http) = start(folder.path(), "http = '0'");
    let http = http.unwrap();
    let bound = |flow: &str| {
        let output = output(["status", "--json", "--http", &http]);
        let status: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let flows = status["replica"]["flows"].as_array()?;
        flows.iter().find(|shown| shown["name"] == flow)?["max_inflight"].as_u64()
    };
    until("the bounds are shown", || bound("Chunk").is_some());
    let (before, other) = (bound("Chunk"), bound("Advert"));
    assert_ne!(before, Some(200));
    let config = folder.path().join("config.toml");
    let good = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{good}[flows.chunk]\nmax_inflight = 200\n")).unwrap();
    running.signal("HUP");
    until("the new bound is shown", || bound("Chunk") == Some(200));
    assert_eq!(bound("Advert"), other, "the others stay");
    // One that cannot be changes nothing.
    fs::write(&config, format!("{good}[flows.chunk]\nmax_inflight = 0\n")).unwrap();
    running.signal("HUP");
    fs::write(&config, good).unwrap();
    running.signal("HUP");
    until("the first bound is back", || bound("Chunk") == before);
    running.kill();
}

/// What only the log said is said where an operator looks, and goes with its cause.
#[cfg(unix)]
#[test]
fn what_the_operator_should_know_is_shown() {
    let folder = TempDir::new().unwrap();
    let (running, http) = start(folder.path(), "http = '0'\nsettle_seconds = 0");
    let http = http.unwrap();
    let text = || String::from_utf8(output(["status", "--http", &http]).stdout).unwrap();
    let shows = |words: &[&str]| {
        text()
            .lines()
            .any(|line| line.starts_with("  - ") && words.iter().all(|of| line.contains(of)))
    };
    let (config, key) = (folder.path().join("config.toml"), folder.path().join("outbox/id.pem"));
    let good = fs::read_to_string(&config).unwrap();
    until("it is seen", || text().starts_with("all here"));
    assert!(!shows(&[]), "{}", text());

    fs::write(&key, "-----BEGIN OPENSSH PRIVATE KEY-----\n").unwrap();
    until("the key is shown", || shows(&["a private key", "id.pem"]));
    let odd = folder.path().join("outbox/a\nb");
    fs::write(&odd, "nobody else has it").unwrap();
    until("a file that is not published is shown", || shows(&["a file is not published", "a\\nb"]));
    let line = format!("config.toml, line {}", good.lines().count() + 1);
    fs::write(&config, format!("{good}colour = 1\n")).unwrap();
    running.signal("HUP");
    until("the fault is shown", || shows(&["at fault", &line, "`colour`"]));
    assert!(text().starts_with("all here"), "{}", text());
    assert_eq!(get(&http, "/health").split(" ").nth(1), Some("200"));
    let metrics = get(&http, "/metrics");
    for series in [
        "gossip_replica_private_keys_refused 1",
        "gossip_replica_reloads_rejected_total 1",
        "gossip_replica_files_unpublished 1",
    ] {
        assert!(metrics.lines().any(|line| line.starts_with(series)), "{series}: {metrics}");
    }

    fs::write(&config, good.replace("settle_seconds = 0", "settle_seconds = 1")).unwrap();
    running.signal("HUP");
    until("what takes a restart is shown", || shows(&["restart", "settle_seconds"]));
    fs::write(&config, good).unwrap();
    fs::remove_file(key).unwrap();
    fs::remove_file(odd).unwrap();
    running.signal("HUP");
    until("nothing is left to know", || !shows(&[]));
    running.kill();
}

#[cfg(target_os = "linux")]
#[test]
fn lines_that_the_log_has_lost_are_shown() {
    let folder = TempDir::new().unwrap();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let (running, http) = start_logging(folder.path(), "http = '0'", full.into());
    let http = http.unwrap();
    until("the lines are counted", || {
        let metrics = get(&http, "/metrics");
        let count = metrics
            .lines()
            .find_map(|line| line.strip_prefix("gossip_replica_log_lines_lost_total "));
        count.is_some_and(|count| count != "0")
    });
    let text = String::from_utf8(output(["status", "--http", &http]).stdout).unwrap();
    assert!(text.contains("of the log could not be written"), "{text}");
    running.kill();
}

#[test]
fn it_listens_where_it_is_told_and_only_then() {
    let folder = TempDir::new().unwrap();
    let (running, http) = start(folder.path(), "");
    assert_eq!(http, None);
    running.kill();
    let config = folder.path().join("config.toml");
    let refused = output([Path::new("status"), Path::new("--config"), &config]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("has no `http`"));

    let folder = TempDir::new().unwrap();
    let (running, http) = start(folder.path(), "http = '127.0.0.1:0'");
    let http = http.unwrap();
    assert!(http.starts_with("127.0.0.1:"), "{http}");
    running.kill();
    let gone = output(["status", "--http", &http]);
    assert_eq!(gone.status.code(), Some(1));
    let error = String::from_utf8(gone.stderr).unwrap();
    assert!(error.starts_with(&format!("error: cannot ask {http}: ")), "{error}");
}

#[test]
fn a_page_that_cannot_be_served_is_said_at_the_start() {
    let folder = TempDir::new().unwrap();
    for (http, status) in
        [("http = '192.0.2.1:80'", 1), ("http = 'example'", 2), ("http = 4180", 2)]
    {
        let config = folder.path().join("config.toml");
        fs::create_dir_all(folder.path().join("outbox")).unwrap();
        let _ = output(["keygen", folder.path().join("key").to_str().unwrap()]);
        let text = format!(
            "listen = '127.0.0.1:0'\nkey_file = 'key'\nstore = 'store'\n{http}\npeers = []\n"
        );
        fs::write(&config, text).unwrap();
        let refused = output([Path::new("run"), Path::new("--config"), &config]);
        assert_eq!(refused.status.code(), Some(status), "{http}: {refused:?}");
        assert!(refused.stdout.is_empty(), "{refused:?}");
    }
}

#[cfg(unix)]
#[test]
fn a_demo_shows_all_its_replicas_and_stays_if_it_is_asked_to() {
    let (folder, scratch) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    fs::write(folder.path().join("file"), [7; 300_000]).unwrap();
    let mut program =
        command(["demo", "--json", "--replicas", "3", "--http", "0", "--keep", "--dir"]);
    program.arg(folder.path()).env("TMPDIR", scratch.path());
    let mut child = program.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut told = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut told).unwrap();
    let address = told.trim_end().strip_prefix("page: http://").unwrap();
    let address = address.strip_suffix('/').unwrap();
    // The result comes before the end.
    let mut result = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut result).unwrap();
    assert!(result.contains("\"verified\":true"), "{result}");
    until("all replicas are ready", || get(address, "/ready").starts_with("HTTP/1.0 200"));
    for number in 1..=3 {
        let answer = get(address, &format!("/status.json?replica={number}"));
        let json: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
        assert_eq!(json["replica"]["number"], number);
        let folder = &json["replica"]["folders"][0];
        assert_eq!((&folder["bytes"], &folder["missing_files"]), (&300_000.into(), &0.into()));
        assert_eq!(json["replica"]["readiness"]["connected"], 2);
        assert_eq!(json["replicas"].as_array().unwrap().len(), 3);
    }
    let interrupted = Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status();
    assert!(interrupted.unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0, "the stores are removed");
}

#[cfg(unix)]
#[test]
fn a_demo_to_watch_opens_its_page_and_goes_on_until_it_is_interrupted() {
    use std::os::unix::fs::PermissionsExt as _;

    let (folder, scratch) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    fs::write(folder.path().join("file"), [7; 3_000]).unwrap();
    // What opens a page, by both of its names, says which.
    let (programs, opened) = (TempDir::new().unwrap(), scratch.path().join("opened"));
    for name in ["xdg-open", "open"] {
        let program = programs.path().join(name);
        let (new, opened) = (opened.with_extension("new"), &opened);
        let script = format!("#!/bin/sh\necho \"$1\" > {new:?} && mv {new:?} {opened:?}\n");
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = std::env::var("PATH").unwrap();
    let mut program = command(["demo", "--watch", "--json", "--replicas", "2", "--dir"]);
    program.arg(folder.path()).env("TMPDIR", scratch.path()).env("DISPLAY", ":7");
    program.env("PATH", format!("{}:{path}", programs.path().display()));
    let mut child = program.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut told = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut told).unwrap();
    let page = told.strip_prefix("page: ").unwrap();
    until("the page is opened", || fs::read_to_string(&opened).is_ok_and(|opened| opened == page));
    let address = page.trim_end().strip_prefix("http://").unwrap().strip_suffix('/').unwrap();
    let mut result = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut result).unwrap();
    assert!(result.contains("\"verified\":true"), "{result}");
    until("what came is called by its name", || {
        let answers = [1, 2].map(|number| get(address, &format!("/status.json?replica={number}")));
        answers.iter().all(|answer| answer.contains("\"label\":\"replica-1/file\""))
    });
    let interrupted = Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status();
    assert!(interrupted.unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// What the script cannot have here, it says; then nothing is shown by this test.
#[test]
fn a_browser_shows_what_happens() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/page/test_page.py");
    let mut python = Command::new("python3");
    python
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(script)
        .arg(env!("CARGO_BIN_EXE_gossip-replica"));
    match python.stdin(Stdio::null()).output() {
        Ok(output) => {
            tell(String::from_utf8_lossy(&output.stdout).trim_end());
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        Err(error) => {
            tell(&format!("no python3 can be had here ({error}): the page is not looked at"))
        }
    }
}

#[test]
fn promtool_finds_no_fault_with_the_metrics() {
    let folder = TempDir::new().unwrap();
    let (running, http) = start(folder.path(), "http = '0'");
    let http = http.unwrap();
    until("something was seen", || get(&http, "/health").starts_with("HTTP/1.0 200"));
    let answer = get(&http, "/metrics");
    let (head, text) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped());
    match promtool.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn() {
        Ok(mut checker) => {
            checker.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
            let checked = checker.wait_with_output().unwrap();
            assert!(checked.status.success() && checked.stderr.is_empty(), "{checked:?}");
        }
        Err(error) => {
            tell(&format!("no promtool can be had here ({error}): the metrics are not checked"))
        }
    }
    running.kill();
}
