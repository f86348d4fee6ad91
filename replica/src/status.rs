//! `gossip-replica status`: what the page of a running replica shows, in a terminal.
//!
//! What comes from the port is untrusted, so no text of it reaches the terminal without [`one_line`].

use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, TableStyle};
use gossip_replica::{
    http::{
        age, bytes,
        client::fetch,
        status::{FlowView, FolderView, PeerView, ReplicaView, Status},
    },
    words::counted,
};

use crate::{
    cli::StatusArgs,
    failure::{Failure, one_line, say},
    settings::Settings,
};

/// How many digits of an id are enough for people.
const SHORT_ID: usize = 8;

/// Asks and prints.
pub(crate) async fn status(args: &StatusArgs) -> Result<(), Failure> {
    let address = match (&args.target.http, &args.target.config) {
        (Some(address), _) => *address,
        (None, Some(path)) => Settings::http_in(path)?.ok_or_else(|| {
            Failure::usage(format_args!(
                "{} has no `http`, so this replica shows its status nowhere",
                path.display()
            ))
        })?,
        (None, None) => return Err(Failure::usage("say --http or --config")),
    };
    let (json, status) = fetch(address.socket()).await.map_err(Failure::runtime)?;
    if args.json { say(json.trim_end()) } else { say(text(&status).trim_end()) }
}

fn text(status: &Status) -> String {
    let replica = &status.replica;
    let mut text = String::new();
    let _ = writeln!(text, "{}", headline(replica));
    for line in replica.faults.iter().chain(&replica.readiness.reasons) {
        let _ = writeln!(text, "  ! {}", one_line(line));
    }
    for line in &status.notices {
        let _ = writeln!(text, "  - {}", one_line(line));
    }
    let _ = writeln!(
        text,
        "  {} listens on {}, up {}, version {}",
        who(replica.name.as_deref(), &replica.id),
        one_line(&replica.listen),
        age(status.now - status.started),
        one_line(&status.version),
    );
    let store = &replica.store;
    let free = store.free_bytes.map(|free| format!(", {} free", bytes(free))).unwrap_or_default();
    let _ =
        writeln!(text, "  {}, {}{free}", counted(store.artifacts, "artifact"), bytes(store.bytes));
    let traffic = &replica.traffic;
    let _ = writeln!(
        text,
        "  in {}/s, out {}/s; {} and {} in all",
        bytes(traffic.in_rate),
        bytes(traffic.out_rate),
        bytes(traffic.bytes_in),
        bytes(traffic.bytes_out)
    );
    section(&mut text, &peers(&replica.peers, status.now), replica.peers.is_empty());
    section(&mut text, &folders(&replica.folders, status.now), replica.folders.is_empty());
    section(&mut text, &downloads(replica), replica.downloads.is_empty());
    section(&mut text, &flows(&replica.flows), replica.flows.is_empty());
    for flow in replica.flows.iter().filter(|flow| !flow.advice.is_empty()) {
        let _ = writeln!(text, "  {}: {}", one_line(&flow.name), one_line(&flow.advice));
    }
    section(&mut text, &refusals(replica), replica.refusals.is_empty());
    if status.replicas.len() > 1 {
        let ready = status.replicas.iter().filter(|replica| replica.ready).count();
        let are = if ready == 1 { "is" } else { "are" };
        let _ = writeln!(
            text,
            "\nreplica 1 of {}, {ready} of which {are} ready",
            status.replicas.len()
        );
    }
    text
}

fn headline(replica: &ReplicaView) -> String {
    let readiness = &replica.readiness;
    let peers =
        format!("{} of {} connected", readiness.connected, counted(readiness.peers as u64, "peer"));
    match (replica.faults.is_empty(), readiness.ready) {
        (false, _) => format!("FAULTY, {peers}"),
        (true, true) => format!("all here, {peers}"),
        (true, false) if readiness.missing_artifacts > 0 => format!("behind, {peers}"),
        (true, false) if readiness.connected == 0 => format!("alone, {peers}"),
        (true, false) => format!("just connected, {peers}"),
    }
}

fn section(text: &mut String, table: &Table, is_empty: bool) {
    if !is_empty {
        let _ = writeln!(text);
        let _ = writeln!(text, "{}", table.trim_fmt());
    }
}

/// A table in which these columns are numbers.
pub(crate) fn table<const N: usize>(header: [&str; N], numbers: &[usize]) -> Table {
    let mut table = Table::new();
    table.load_style(TableStyle::new()).set_header(header);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if numbers.contains(&index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn peers(peers: &[PeerView], now: f64) -> Table {
    let header = ["PEER", "STATE", "FOR", "ADDRESS", "IN/S", "OUT/S", "ROUND TRIP", ""];
    let mut table = table(header, &[2, 4, 5, 6]);
    for peer in peers {
        let trip = peer.round_trip.map(duration).unwrap_or_default();
        let error = peer.last_error.as_deref().filter(|_| peer.state != "connected");
        table.add_row([
            who(peer.name.as_deref(), &peer.id),
            one_line(&peer.state),
            age(now - peer.away_since.unwrap_or(peer.since)),
            one_line(&peer.address),
            bytes(peer.in_rate),
            bytes(peer.out_rate),
            trip,
            one_line(error.unwrap_or_default()),
        ]);
    }
    table
}

fn folders(folders: &[FolderView], now: f64) -> Table {
    let header = ["FOLDER", "FILES", "SIZE", "HERE", "MISSING", "FOR", ""];
    let mut table = table(header, &[1, 2, 3, 4, 5]);
    for folder in folders {
        table.add_row([
            one_line(&folder.name),
            folder.files.to_string(),
            bytes(folder.bytes),
            format!("{} %", percent_here(folder)),
            folder.missing_files.to_string(),
            folder.missing_since.map(|since| age(now - since)).unwrap_or_default(),
            if folder.newer_catalog { "a newer catalog is to come" } else { "" }.to_owned(),
        ]);
    }
    table
}

/// What share of a folder's bytes is here, or of its files if they are empty: 100 only if all is.
fn percent_here(folder: &FolderView) -> u64 {
    let (missing, all) = match folder.bytes {
        0 => (folder.missing_files, folder.files),
        bytes => (folder.missing_bytes, bytes),
    };
    let here = u128::from(all.saturating_sub(missing)) * 100 / u128::from(all.max(1));
    match folder.missing_files {
        // Of a publisher without a catalog here nothing is.
        0 => {
            if folder.newer_catalog && folder.sequence == 0 {
                0
            } else {
                100
            }
        }
        _ => u64::try_from(here).unwrap_or_default().min(99),
    }
}

fn downloads(replica: &ReplicaView) -> Table {
    let mut table = table(["FETCHING", "SIZE", "HERE", "PEERS", "RATE", "LEFT"], &[1, 2, 3, 4, 5]);
    for download in &replica.downloads {
        table.add_row([
            download.label.as_deref().map_or_else(|| short(&download.id), one_line),
            bytes(download.size),
            format!("{} %", 100 * download.received / download.size.max(1)),
            download.peers.to_string(),
            format!("{}/s", bytes(download.rate)),
            download.left.map_or("-".to_owned(), age),
        ]);
    }
    table
}

fn flows(flows: &[FlowView]) -> Table {
    let header = ["FLOW", "IN FLIGHT", "LOAD", "PER S", "WAIT P50", "P99", "WAITED", "DROPPED"];
    let mut table = table(header, &[1, 2, 3, 4, 5, 6, 7]);
    for flow in flows {
        let wait = |time: Option<f64>| time.map_or("-".to_owned(), duration);
        table.add_row([
            one_line(&flow.name),
            flow.in_flight.to_string(),
            format!("{} %", flow.overload),
            flow.rate.to_string(),
            wait(flow.wait_p50),
            wait(flow.wait_p99),
            flow.waited.to_string(),
            flow.dropped.to_string(),
        ]);
    }
    table
}

fn refusals(replica: &ReplicaView) -> Table {
    let mut table = table(["REFUSED OR DROPPED", "LAST MINUTE", "IN ALL"], &[1, 2]);
    for refusal in &replica.refusals {
        let (lately, total) = (refusal.lately.to_string(), refusal.total.to_string());
        table.add_row([one_line(&refusal.what), lately, total]);
    }
    table
}

fn who(name: Option<&str>, id: &str) -> String {
    name.map_or_else(|| short(id), one_line)
}

fn short(id: &str) -> String {
    one_line(id).chars().take(SHORT_ID).collect()
}

fn duration(seconds: f64) -> String {
    match seconds * 1e6 {
        micros if micros < 1_000.0 => format!("{micros:.0} µs"),
        micros if micros < 10_000.0 => format!("{:.1} ms", micros / 1e3),
        micros if micros < 1_000_000.0 => format!("{:.0} ms", micros / 1e3),
        micros => format!("{:.1} s", micros / 1e6),
    }
}

#[cfg(test)]
mod tests;
