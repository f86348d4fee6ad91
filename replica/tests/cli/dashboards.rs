//! The board, the alerts and the runbook in `dashboards/`, against real replicas and a real Prometheus.

use std::{
    cell::Cell,
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
};

use gossip_engine::Outcome;
use serde_json::Value;
use strum::IntoEnumIterator as _;
use tempfile::TempDir;

use crate::{
    node::Node,
    page::{get, tell},
    program::{Running, until},
};

const PREFIXES: [&str; 2] = ["gossip_engine_", "gossip_replica_"];

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../dashboards").join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap()
}

/// The names of series in a text.
fn names(text: &str) -> BTreeSet<&str> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.filter(|word| PREFIXES.iter().any(|prefix| word.starts_with(prefix))).collect()
}

/// The names of alerts, in their order.
fn alerts(rules: &str) -> Vec<&str> {
    rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect()
}

/// All queries of the board.
fn queries(board: &Value) -> Vec<&str> {
    let panels = board["panels"].as_array().unwrap();
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    targets.map(|target| target["expr"].as_str().unwrap()).collect()
}

/// Two connected replicas. The second has little capacity for adverts and drops what it has none for.
struct Cluster {
    nodes: [Node; 2],
    running: [Running; 2],
    _folder: TempDir,
}

impl Cluster {
    fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let mut nodes = ["first", "second"].map(|name| Node::new(folder.path().join(name)));
        for node in &mut nodes {
            node.more = "http = '0'\nsettle_seconds = 0\nmin_free_bytes = 0\n\
                         [flows.advert]\nmax_inflight = 1\npeer_quota = 1\npolicy = 'drop_newest'\n\
                         [flows.chunk]\nmax_bytes = 1_000_000\n"
                .to_owned();
        }
        nodes[0].more = nodes[0].more.replace("max_inflight = 1\npeer_quota = 1\n", "");
        let [first, second] = &mut nodes;
        // The first meets the second when that dials.
        let one = first.start(&[(second.id.clone(), "127.0.0.1:9".to_owned())]);
        let other = second.start(&[(first.id.clone(), first.address.clone())]);
        let cluster = Self { nodes, running: [one, other], _folder: folder };
        for node in &cluster.nodes {
            until("it is ready", || get(&node.http, "/ready").starts_with("HTTP/1.0 200"));
        }
        cluster
    }

    /// Publishes files until so many adverts are dropped that it is seen.
    fn flood(&self, seen: impl Fn() -> bool) {
        const FILES: u32 = 2_000;
        let published = Cell::new(0);
        until("the flood is seen", || {
            let number = published.get();
            if number < FILES {
                self.nodes[0].publish_as(&format!("flood {number}"), &number.to_be_bytes());
                published.set(number + 1);
            }
            number.is_multiple_of(50) && seen()
        });
    }

    /// Does what the runbook says: gives the flow a larger bound, while it runs.
    fn widen(&mut self) {
        let [first, second] = &mut self.nodes;
        second.more = first.more.clone();
        second.write_config(&[(first.id.clone(), first.address.clone())]);
        self.running[1].signal("HUP");
    }
}

/// A Prometheus that scrapes these addresses each second, with the alerts of these rules; `None` where there is none.
struct Prometheus {
    process: Child,
    address: String,
    _folder: TempDir,
}

impl Prometheus {
    fn start(targets: &[&str], rules: &str) -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let config = folder.path().join("prometheus.yml");
        let text = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: [alerts.yml]\n\
             scrape_configs:\n  - job_name: gossip\n    static_configs: [{{ targets: {targets:?} }}]\n"
        );
        fs::write(&config, text).unwrap();
        fs::write(folder.path().join("alerts.yml"), rules).unwrap();
        let mut program = Command::new("prometheus");
        program.arg(format!("--config.file={}", config.display()));
        program.arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()));
        program.arg("--web.listen-address=127.0.0.1:0");
        let spawned = program.stdin(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut process = match spawned {
            Ok(process) => process,
            Err(error) => {
                tell(&format!("no prometheus can be had here ({error}): the board is not tried"));
                return None;
            }
        };
        let mut log = BufReader::new(process.stderr.take().unwrap()).lines().map_while(Result::ok);
        let listens = |line: String| {
            let (_, address) = line.split_once("msg=\"Listening on\" address=")?;
            Some(address.trim().to_owned())
        };
        let address = log.by_ref().find_map(listens).expect("it listens");
        // It must not wait for who reads its log.
        thread::spawn(move || log.for_each(drop));
        let started = Self { process, address, _folder: folder };
        until("it is ready", || get(&started.address, "/-/ready").starts_with("HTTP/1.0 200"));
        Some(started)
    }

    fn ask(&self, path: &str) -> Value {
        let answer = get(&self.address, path);
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{path}: {error}: {answer}"))
    }

    /// How many series answer a query.
    fn query(&self, query: &str) -> usize {
        let mut path = "/api/v1/query?query=".to_owned();
        for byte in query.bytes() {
            write!(path, "%{byte:02x}").unwrap();
        }
        let answer = self.ask(&path);
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        answer["data"]["result"].as_array().unwrap().len()
    }

    /// The alerts that are there, firing or about to.
    fn alerts(&self) -> BTreeSet<String> {
        let answer = self.ask("/api/v1/alerts");
        let alerts = answer["data"]["alerts"].as_array().unwrap();
        alerts
            .iter()
            .map(|alert| alert["labels"]["alertname"].as_str().unwrap().to_owned())
            .collect()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_flood_shows_on_the_board_and_fires_its_alert_alone() {
    let mut cluster = Cluster::start();
    let text: String = cluster.nodes.iter().map(|node| get(&node.http, "/metrics")).collect();
    let shown = names(&text);
    let (board, rules) = (read("gossip-engine.json"), read("alerts.yml"));
    let (on_board, in_rules) = (names(&board), names(&rules));
    for name in on_board.union(&in_rules) {
        assert!(shown.contains(name), "nothing is called {name}");
    }
    let base = |name: &str| {
        let ends = ["_bucket", "_sum", "_count"];
        ends.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name).to_owned()
    };
    let used: BTreeSet<_> = on_board.union(&in_rules).map(|name| base(name)).collect();
    for name in shown.iter().filter(|name| name.starts_with(PREFIXES[0])) {
        assert!(used.contains(&base(name)), "nobody looks at {name}");
    }

    let targets = cluster.nodes.each_ref().map(|node| node.http.as_str());
    // Without their delays, which are tested by `alerts_test.yml`.
    let at_once: String = rules
        .lines()
        .filter(|line| !line.contains(" for: "))
        .fold(String::new(), |text, line| text + line + "\n");
    let Some(prometheus) = Prometheus::start(&targets, &at_once) else { return };
    // It asks for OpenMetrics, and is strict about it.
    until("both are scraped", || prometheus.query("sum_over_time(up[1h]) > 3") == 2);
    until("no alert is there", || prometheus.alerts().is_empty());

    cluster.flood(|| prometheus.alerts().contains("GossipMessagesDropped"));
    let board: Value = serde_json::from_str(&board).unwrap();
    for query in queries(&board) {
        let all = ["$job", "$instance", "$flow"]
            .iter()
            .fold(query.replace("$__rate_interval", "1h"), |query, name| query.replace(name, ".*"));
        until(&format!("something answers {query}"), || prometheus.query(&all) > 0);
    }
    // What was dropped is sent again, and now it comes. At most the drops of the last minutes are left.
    cluster.widen();
    let dropped = BTreeSet::from(["GossipMessagesDropped".to_owned()]);
    until("no other alert is there", || prometheus.alerts().is_subset(&dropped));
}

#[test]
fn each_alert_fires_in_its_test_and_is_silent_before() {
    let (rules, tests) = (read("alerts.yml"), read("alerts_test.yml"));
    for alert in alerts(&rules) {
        assert!(tests.contains(&format!("alertname: {alert}, eval_time: 10m, exp_alerts: [] }}")));
        assert!(tests.contains(&format!("- alertname: {alert}\n")), "{alert} never fires");
    }
    let promtool = |arguments: &[&str]| -> Option<Output> {
        let mut promtool = Command::new("promtool");
        match promtool.args(arguments).current_dir(path("")).output() {
            Ok(output) => Some(output),
            Err(error) => {
                tell(&format!("no promtool can be had here ({error}): the alerts are not checked"));
                None
            }
        }
    };
    for arguments in
        [["check", "rules", "alerts.yml"].as_slice(), &["test", "rules", "alerts_test.yml"]]
    {
        let Some(output) = promtool(arguments) else { return };
        assert!(output.status.success(), "{output:?}");
    }
}

#[test]
fn the_runbook_names_each_outcome_and_each_alert() {
    let (runbook, rules) = (read("README.md"), read("alerts.yml"));
    assert!(runbook.lines().count() <= 150);
    let payloads = ["malformed", "unknown", "quarantined"];
    let outcomes = Outcome::iter().map(|outcome| outcome.to_string());
    for word in outcomes.chain(payloads.map(str::to_owned)) {
        assert!(runbook.contains(&format!("| `{word}` |")), "{word} is not in the runbook");
    }
    let alerts = alerts(&rules);
    for alert in &alerts {
        assert!(runbook.contains(&format!("**{alert}.**")), "{alert} is not in the runbook");
    }
    let (_, explained) = runbook.split_once("## Alerts on the engine").unwrap();
    assert_eq!(explained.matches("- **").count(), alerts.len(), "an alert that is not there");
    let board = read("gossip-engine.json");
    for name in names(&runbook) {
        assert!(board.contains(name) || rules.contains(name), "{name} is nowhere else");
    }
}
