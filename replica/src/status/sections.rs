//! The tables of a status: `status` prints them in full, `top` as far as they fit.
//!
//! What comes from the port is untrusted: every text of it has gone through [`one_line`] before it is in a cell, and
//! no figure is taken to fit another.

use gossip_replica::http::{
    age, bytes,
    status::{DownloadView, FlowView, FolderView, PeerView, RefusalView, Status},
};

use crate::failure::one_line;

/// How many digits of an id are enough for people.
const SHORT_ID: usize = 8;

/// What a column holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Text,
    Number,
    /// [`Row::here`], drawn. Its cells are empty.
    Bar,
}

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// Where not all have a place, those of the highest rank go first. One of rank 0 stays.
    pub(crate) rank: u8,
}

/// Whether a row is as it should be.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Tone {
    #[default]
    Good,
    /// Something is still to come.
    Behind,
    /// Something is lost.
    Bad,
}

/// A row of a table.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// One for each column.
    pub(crate) cells: Vec<String>,
    pub(crate) tone: Tone,
    /// How many hundredths of it are here.
    pub(crate) here: Option<u64>,
}

/// A table. Its rows are in the order in which they are of interest.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Row>,
}

/// The tables that have rows, what is of most interest first.
pub(crate) fn sections(status: &Status) -> Vec<Section> {
    let replica = &status.replica;
    let all = [
        folders(&replica.folders, status.now),
        downloads(&replica.downloads),
        peers(&replica.peers, status.now),
        flows(&replica.flows),
        refusals(&replica.refusals),
    ];
    all.into_iter().filter(|section| !section.rows.is_empty()).collect()
}

/// Those that lack something come first.
fn folders(folders: &[FolderView], now: f64) -> Section {
    let row = |folder: &FolderView| {
        let here = percent_here(folder);
        let missing = match folder.missing_files {
            0 => "0".to_owned(),
            files => format!("{files} ({})", bytes(folder.missing_bytes)),
        };
        let cells = vec![
            one_line(&folder.name),
            String::new(),
            format!("{here} %"),
            missing,
            folder.files.to_string(),
            bytes(folder.bytes),
            peers_of(folder),
            if here < 100 { rate(folder.rate) } else { String::new() },
            folder.left.map(age).unwrap_or_default(),
            folder.missing_since.map(|since| age(now - since)).unwrap_or_default(),
            note(folder),
        ];
        Row { cells, tone: tone(here < 100 || folder.newer_catalog), here: Some(here) }
    };
    let mut folders: Vec<_> = folders.iter().collect();
    folders.sort_by_key(|&folder| (percent_here(folder) == 100, &folder.name));
    let columns = [
        text("FOLDER", 0),
        bar(3),
        number("HERE", 0),
        number("MISSING", 1),
        number("FILES", 4),
        number("SIZE", 6),
        number("PEERS", 5),
        number("RATE", 2),
        number("LEFT", 0),
        number("FOR", 7),
        text("", 8),
    ];
    Section { columns: columns.into(), rows: folders.into_iter().map(row).collect() }
}

fn note(folder: &FolderView) -> String {
    let newer = folder.newer_catalog.then(|| "a newer catalog is to come".to_owned());
    let over = folder.over_share_files;
    let over = (over > 0).then(|| format!("{over} over max_publisher_bytes"));
    newer.into_iter().chain(over).collect::<Vec<_>>().join(", ")
}

/// How many peers say that they hold all of it, if any says something.
fn peers_of(folder: &FolderView) -> String {
    let said = folder.peers_complete.saturating_add(folder.peers_behind);
    match said {
        0 => String::new(),
        _ => format!("{} of {}", folder.peers_complete, said.saturating_add(folder.peers_silent)),
    }
}

/// Those of which something comes stand before those that wait.
fn downloads(downloads: &[DownloadView]) -> Section {
    let row = |download: &DownloadView| {
        let here = percent(download.received, download.size);
        let cells = vec![
            download.label.as_deref().map_or_else(|| short(&download.id), one_line),
            String::new(),
            format!("{here} %"),
            bytes(download.size),
            download.peers.to_string(),
            rate(download.rate),
            download.left.map_or("-".to_owned(), age),
        ];
        Row { cells, tone: tone(download.rate == 0), here: Some(here) }
    };
    let mut downloads: Vec<_> = downloads.iter().collect();
    downloads.sort_by_key(|download| download.rate == 0);
    let columns = [
        text("FETCHING", 0),
        bar(3),
        number("HERE", 0),
        number("SIZE", 2),
        number("PEERS", 4),
        number("RATE", 1),
        number("LEFT", 0),
    ];
    Section { columns: columns.into(), rows: downloads.into_iter().map(row).collect() }
}

/// Those that are away come first.
fn peers(peers: &[PeerView], now: f64) -> Section {
    let is_here = |peer: &PeerView| peer.state == "connected";
    let row = |peer: &PeerView| {
        let error = peer.last_error.as_deref().filter(|_| !is_here(peer));
        let cells = vec![
            who(peer.name.as_deref(), &peer.id),
            one_line(&peer.state),
            age(now - peer.away_since.unwrap_or(peer.since)),
            one_line(&peer.address),
            rate(peer.in_rate),
            rate(peer.out_rate),
            peer.round_trip.map(duration).unwrap_or_default(),
            one_line(error.unwrap_or_default()),
        ];
        Row { cells, tone: tone(!is_here(peer)), here: None }
    };
    let mut peers: Vec<_> = peers.iter().collect();
    peers.sort_by_key(|peer| (is_here(peer), who(peer.name.as_deref(), &peer.id)));
    let columns = [
        text("PEER", 0),
        text("STATE", 0),
        number("FOR", 3),
        text("ADDRESS", 5),
        number("IN", 1),
        number("OUT", 1),
        number("ROUND TRIP", 2),
        text("", 4),
    ];
    Section { columns: columns.into(), rows: peers.into_iter().map(row).collect() }
}

fn flows(flows: &[FlowView]) -> Section {
    let row = |flow: &FlowView| {
        let wait = |time: Option<f64>| time.map_or("-".to_owned(), duration);
        let cells = vec![
            one_line(&flow.name),
            format!("{} of {}", flow.in_flight, flow.max_inflight),
            format!("{} %", flow.overload),
            flow.rate.to_string(),
            wait(flow.wait_p50),
            wait(flow.wait_p99),
            flow.waited.to_string(),
            flow.dropped_lately.to_string(),
            flow.dropped.to_string(),
        ];
        let tone = if flow.dropped_lately > 0 { Tone::Bad } else { Tone::Good };
        Row { cells, tone, here: None }
    };
    let columns = [
        text("FLOW", 0),
        number("IN FLIGHT", 0),
        number("LOAD", 2),
        number("PER S", 3),
        number("WAIT P50", 4),
        number("P99", 0),
        number("WAITED", 5),
        number("LATELY", 1),
        number("DROPPED", 1),
    ];
    Section { columns: columns.into(), rows: flows.iter().map(row).collect() }
}

fn refusals(refusals: &[RefusalView]) -> Section {
    let row = |refusal: &RefusalView| Row {
        cells: vec![one_line(&refusal.what), refusal.lately.to_string(), refusal.total.to_string()],
        tone: if refusal.lately > 0 { Tone::Bad } else { Tone::Good },
        here: None,
    };
    let columns = [text("REFUSED OR DROPPED", 0), number("LAST MINUTE", 0), number("IN ALL", 1)];
    Section { columns: columns.into(), rows: refusals.iter().map(row).collect() }
}

fn text(name: &'static str, rank: u8) -> Column {
    Column { name, kind: Kind::Text, rank }
}

fn number(name: &'static str, rank: u8) -> Column {
    Column { name, kind: Kind::Number, rank }
}

fn bar(rank: u8) -> Column {
    Column { name: "", kind: Kind::Bar, rank }
}

fn tone(is_behind: bool) -> Tone {
    if is_behind { Tone::Behind } else { Tone::Good }
}

/// What share of a folder's bytes is here, or of its files if they are empty: 100 only if all is.
pub(super) fn percent_here(folder: &FolderView) -> u64 {
    let (missing, all) = match folder.bytes {
        0 => (folder.missing_files, folder.files),
        bytes => (folder.missing_bytes.saturating_sub(folder.arriving_bytes), bytes),
    };
    match folder.missing_files {
        // Of a publisher without a catalog here nothing is.
        0 if folder.newer_catalog && folder.sequence == 0 => 0,
        0 => 100,
        _ => percent(all.saturating_sub(missing), all).min(99),
    }
}

/// At most 100, whatever the port says.
fn percent(part: u64, all: u64) -> u64 {
    let percent = u128::from(part) * 100 / u128::from(all.max(1));
    u64::try_from(percent).unwrap_or(100).min(100)
}

/// A name, or the first digits of an id.
pub(crate) fn who(name: Option<&str>, id: &str) -> String {
    name.map_or_else(|| short(id), one_line)
}

/// The first digits of an id.
pub(crate) fn short(id: &str) -> String {
    one_line(id).chars().take(SHORT_ID).collect()
}

/// Bytes a second.
pub(crate) fn rate(bytes_per_second: u64) -> String {
    format!("{}/s", bytes(bytes_per_second))
}

pub(super) fn duration(seconds: f64) -> String {
    match seconds * 1e6 {
        micros if micros < 1_000.0 => format!("{micros:.0} µs"),
        micros if micros < 10_000.0 => format!("{:.1} ms", micros / 1e3),
        micros if micros < 1_000_000.0 => format!("{:.0} ms", micros / 1e3),
        micros => format!("{:.1} s", micros / 1e6),
    }
}
