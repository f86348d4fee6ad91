//! What a demo has shown, for people and for programs.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use comfy_table::{CellAlignment, LineStyle, Row, Table, TableStyle};
use gossip_engine::{FlowSnapshot, FlowType, LatencySnapshot, MetricsSnapshot, Outcome};
use gossip_replica::words::counted;
use indicatif::HumanCount;
use serde::Serialize;

use super::source::Published;

/// The flows of messages, and the adverts on their way out.
const FLOWS: [FlowType; 5] = [
    FlowType::Advert,
    FlowType::Request,
    FlowType::Chunk,
    FlowType::Retransmission,
    FlowType::Transport,
];

/// One line below the header and nothing else.
const RULED: TableStyle =
    TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// The outcome of a demo in which every file was found on every replica.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    verified: bool,
    replicas: usize,
    /// Files published.
    files: usize,
    /// Files that were gone or did not hold still when their turn came.
    skipped: usize,
    /// Different contents among the files.
    artifacts: usize,
    /// Bytes of all artifacts.
    bytes: u64,
    /// Artifacts that replicas fetched from each other, each replica's counted.
    fetched_artifacts: usize,
    /// Bytes of those.
    fetched_bytes: u64,
    /// From the first file's publication until all replicas held everything.
    seconds: f64,
    /// Artifacts fetched in a second, by all replicas.
    artifacts_per_second: f64,
    /// Millions of bytes fetched in a second, by all replicas.
    megabytes_per_second: f64,
    flows: BTreeMap<&'static str, Flow>,
}

/// What one flow did, over all replicas.
#[derive(Clone, Debug, Serialize)]
struct Flow {
    handled: u64,
    /// Messages that waited for capacity.
    held_back: u64,
    dropped: u64,
    wait_ns: Quantiles,
    service_ns: Quantiles,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Quantiles {
    p50: u64,
    p99: u64,
    #[serde(rename = "p99.9")]
    p999: u64,
}

impl Report {
    pub(super) fn new(
        replicas: usize,
        published: &Published,
        elapsed: Duration,
        metrics: &MetricsSnapshot,
    ) -> Self {
        let files = &published.files;
        let distinct: BTreeMap<_, _> =
            files.iter().map(|file| (file.artifact.id, file.artifact.size)).collect();
        let copies =
            files.iter().map(|file| (file.artifact.id, file.publisher)).collect::<BTreeSet<_>>();
        let bytes = distinct.values().sum::<u64>();
        let imported_bytes = copies.iter().map(|(id, _)| distinct[id]).sum::<u64>();
        let fetched_artifacts = distinct.len() * replicas - copies.len();
        let fetched_bytes = bytes * replicas as u64 - imported_bytes;
        // Not 0, so that what is divided by it is a number.
        let seconds = elapsed.as_secs_f64().max(1e-9);
        let flow = |flow| metrics.flow(flow);
        let mut flows: BTreeMap<_, _> =
            FLOWS.into_iter().map(|name| (name.name(), Flow::new(flow(name)))).collect();
        flows.insert("Broadcast", Flow::new(&metrics.broadcast));
        Self {
            verified: true,
            replicas,
            files: files.len(),
            skipped: published.skipped.len(),
            artifacts: distinct.len(),
            bytes,
            fetched_artifacts,
            fetched_bytes,
            seconds,
            artifacts_per_second: fetched_artifacts as f64 / seconds,
            megabytes_per_second: fetched_bytes as f64 / 1e6 / seconds,
            flows,
        }
    }

    fn totals(&self) -> Table {
        let mut table =
            table(["files", "artifacts", "bytes", "fetched", "seconds", "artifacts/s", "MB/s"]);
        table.add_row([
            count(self.files as u64),
            count(self.artifacts as u64),
            count(self.bytes),
            count(self.fetched_artifacts as u64),
            format!("{:.2}", self.seconds),
            format!("{:.0}", self.artifacts_per_second),
            format!("{:.1}", self.megabytes_per_second),
        ]);
        align(&mut table, 0);
        table
    }

    fn by_flow(&self) -> Table {
        let mut table = table([
            "flow",
            "handled",
            "held\nback",
            "dropped",
            "wait\np50",
            "\np99",
            "\np99.9",
            "service\np50",
            "\np99",
            "\np99.9",
        ]);
        let names = FLOWS.map(FlowType::name).into_iter().chain(["Broadcast"]);
        for (name, flow) in names.filter_map(|name| Some((name, self.flows.get(name)?))) {
            let Quantiles { p50, p99, p999 } = flow.wait_ns;
            let wait = [p50, p99, p999].map(duration);
            let Quantiles { p50, p99, p999 } = flow.service_ns;
            let service = [p50, p99, p999].map(duration);
            let counts = [flow.handled, flow.held_back, flow.dropped].map(count);
            let cells = [name.to_owned()].into_iter().chain(counts).chain(wait).chain(service);
            table.add_row(cells.collect::<Vec<_>>());
        }
        align(&mut table, 1);
        table
    }
}

impl Flow {
    fn new(flow: &FlowSnapshot) -> Self {
        Self {
            handled: flow.handled(),
            held_back: flow.waiting_for_peer_permit,
            dropped: flow.dropped() + flow.refused() + flow.count(Outcome::DroppedAtShutdown),
            wait_ns: Quantiles::new(&flow.wait),
            service_ns: Quantiles::new(&flow.service),
        }
    }
}

impl Quantiles {
    fn new(latency: &LatencySnapshot) -> Self {
        // At most a minute, which fits.
        let nanos = |share| latency.quantile(share).as_nanos() as u64;
        Self { p50: nanos(0.5), p99: nanos(0.99), p999: nanos(0.999) }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n\n{}\n", self.totals().trim_fmt(), self.by_flow().trim_fmt())?;
        if self.skipped > 0 {
            let were = if self.skipped == 1 { "was" } else { "were" };
            let skipped = counted(self.skipped as u64, "file");
            writeln!(f, "skipped: {skipped} {were} gone or changing")?;
        }
        write!(
            f,
            "verified: {} hold {}, every file compared byte for byte",
            counted(self.replicas as u64, "replica"),
            counted(self.artifacts as u64, "artifact"),
        )
    }
}

fn table(header: impl Into<Row>) -> Table {
    let mut table = Table::new();
    table.load_style(RULED).set_header(header);
    table
}

/// Numbers stand to the right, and columns close together.
fn align(table: &mut Table, from: usize) {
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if index >= from {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

fn count(count: u64) -> String {
    HumanCount(count).to_string()
}

/// At most six characters.
fn duration(nanos: u64) -> String {
    let scaled = |unit: f64, name: &str| {
        let value = nanos as f64 / unit;
        // What would be rounded to 10 has no decimal.
        let decimals = usize::from(value < 9.95);
        format!("{value:.decimals$}{name}")
    };
    match nanos {
        0..1_000 => format!("{nanos}ns"),
        1_000..999_500 => scaled(1e3, "µs"),
        999_500..999_500_000 => scaled(1e6, "ms"),
        _ => scaled(1e9, "s"),
    }
}

#[cfg(test)]
mod tests;
