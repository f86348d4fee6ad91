//! `gossip-replica status`: what the page of a running replica shows, in a terminal.
//!
//! What comes from the port is untrusted, so no text of it reaches the terminal without [`one_line`].

mod sections;

use std::{fmt::Write as _, net::SocketAddr};

use comfy_table::{CellAlignment, Row as Cells, Table, TableStyle};
use gossip_replica::{
    http::{
        age, bytes,
        client::fetch,
        status::{ReplicaView, Status},
    },
    words::counted,
};

pub(crate) use self::sections::{Column, Kind, Row, Section, Tone, rate, sections, short, who};

use crate::{
    cli::{StatusArgs, StatusTarget},
    failure::{Failure, one_line, say},
    settings::Settings,
};

/// Asks and prints.
pub(crate) async fn status(args: &StatusArgs) -> Result<(), Failure> {
    let (json, status) = fetch(address(&args.target)?, 1).await.map_err(Failure::runtime)?;
    if args.json { say(json.trim_end()) } else { say(text(&status).trim_end()) }
}

/// Where the page of the replica is that the command line names.
pub(crate) fn address(target: &StatusTarget) -> Result<SocketAddr, Failure> {
    let address = match (&target.http, &target.config) {
        (Some(address), _) => *address,
        (None, Some(path)) => Settings::http_in(path)?.ok_or_else(|| {
            Failure::usage(format_args!(
                "{} has no `http`, so this replica shows its status nowhere",
                path.display()
            ))
        })?,
        (None, None) => return Err(Failure::usage("say --http or --config")),
    };
    Ok(address.socket())
}

fn text(status: &Status) -> String {
    let replica = &status.replica;
    let mut text = String::new();
    let _ = writeln!(text, "{}", headline(replica));
    for line in remarks(status) {
        let _ = writeln!(text, "  {line}");
    }
    let name = who(replica.name.as_deref(), &replica.id);
    let _ = writeln!(text, "  {name} {}", place(status));
    let _ = writeln!(text, "  {}", store(replica));
    let traffic = &replica.traffic;
    let _ = writeln!(
        text,
        "  in {}, out {}; {} and {} in all",
        rate(traffic.in_rate),
        rate(traffic.out_rate),
        bytes(traffic.bytes_in),
        bytes(traffic.bytes_out)
    );
    for section in sections(status) {
        let _ = writeln!(text, "\n{}", in_full(&section).trim_fmt());
    }
    for line in advice(replica) {
        let _ = writeln!(text, "  {line}");
    }
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

/// What is wrong, why the replica is not ready, and what an operator should know.
pub(crate) fn remarks(status: &Status) -> impl Iterator<Item = String> {
    let replica = &status.replica;
    let wrong = replica.faults.iter().chain(&replica.readiness.reasons).map(|line| ('!', line));
    let lines = wrong.chain(status.notices.iter().map(|line| ('-', line)));
    lines.map(|(mark, line)| format!("{mark} {}", one_line(line)))
}

/// Where it listens, since when, and what it is.
pub(crate) fn place(status: &Status) -> String {
    format!(
        "listens on {}, up {}, version {}",
        one_line(&status.replica.listen),
        age(status.now - status.started),
        one_line(&status.version),
    )
}

/// What it holds.
pub(crate) fn store(replica: &ReplicaView) -> String {
    let store = &replica.store;
    let free = store.free_bytes.map(|free| format!(", {} free", bytes(free))).unwrap_or_default();
    format!("{}, {}{free}", counted(store.artifacts, "artifact"), bytes(store.bytes))
}

/// Which bounds would have avoided what a flow has dropped.
pub(crate) fn advice(replica: &ReplicaView) -> impl Iterator<Item = String> {
    let flows = replica.flows.iter().filter(|flow| !flow.advice.is_empty());
    flows.map(|flow| format!("{}: {}", one_line(&flow.name), one_line(&flow.advice)))
}

/// Whether all is here, in a few words.
pub(crate) fn headline(replica: &ReplicaView) -> String {
    let readiness = &replica.readiness;
    let peers =
        format!("{} of {} connected", readiness.connected, counted(readiness.peers as u64, "peer"));
    match (replica.faults.is_empty(), readiness.ready) {
        (false, _) => format!("FAULTY, {peers}"),
        (true, true) => format!("all here, {peers}"),
        (true, false) if readiness.missing_artifacts > 0 => format!("behind, {peers}"),
        (true, false) if readiness.connected == 0 => format!("alone, {peers}"),
        (true, false) if replica.folders.iter().any(|folder| folder.over_share_files > 0) => {
            format!("some not fetched, {peers}")
        }
        (true, false) => format!("all here just now, {peers}"),
    }
}

fn in_full(section: &Section) -> Table {
    let columns = section.columns.iter().enumerate().filter(|(_, column)| column.kind != Kind::Bar);
    let (places, columns): (Vec<_>, Vec<&Column>) = columns.unzip();
    let names: Vec<_> = columns.iter().map(|column| column.name).collect();
    let numbers: Vec<_> =
        (0..columns.len()).filter(|at| columns[*at].kind == Kind::Number).collect();
    let mut table = table(names, &numbers);
    for row in &section.rows {
        table.add_row(places.iter().map(|place| &row.cells[*place]));
    }
    table
}

/// A table in which these columns are numbers.
pub(crate) fn table(header: impl Into<Cells>, numbers: &[usize]) -> Table {
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

#[cfg(test)]
mod tests;
