//! `gossip-replica ls`: a line for each file.

use std::io::{self, BufWriter, Write};

use comfy_table::Table;
use gossip_engine::NodeId;
use gossip_replica::{
    catalog::{Current, FileEntry, FilePath},
    http::bytes,
    store::has_artifact,
    words::date,
};
use serde::Serialize;

use super::{Browsing, Place};
use crate::{
    cli::LsArgs,
    failure::{Failure, one_line},
    logging::complain,
    status::table,
};

/// Prints what a place has, or all places.
pub(crate) fn ls(args: &LsArgs) -> Result<(), Failure> {
    let place = args.place.as_deref().map(Place::parse).transpose()?;
    let browsing = Browsing::of(&args.config)?;
    let mut folders = Vec::new();
    match &place {
        Some(place) => {
            let publisher = browsing.publisher(place)?;
            let current = browsing.catalog(publisher).map_err(Failure::runtime)?;
            folders.push(Folder::of(&browsing, publisher, current));
        }
        None => {
            for publisher in browsing.publishers.iter().copied() {
                match browsing.catalog(publisher) {
                    Ok(current) => folders.push(Folder::of(&browsing, publisher, current)),
                    Err(fault) => complain(format_args!("warning: {}", one_line(&fault))),
                }
            }
        }
    }
    let mut stdout = BufWriter::new(io::stdout().lock());
    let written = match args.json {
        true => print_json(&mut stdout, &folders, place.as_ref()),
        false => print(&mut stdout, &folders, place.as_ref()),
    };
    match written.and_then(|printed| stdout.flush().map(|()| printed)) {
        Ok(0) => match place {
            Some(Place { path: Some(path), .. }) => {
                let name = &folders[0].name;
                Err(Failure::runtime(format_args!("{name} has no file or folder {path}")))
            }
            _ => Ok(()),
        },
        // A reader that has seen enough, such as a pager, may close the pipe.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::runtime(format_args!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// A publisher's folder, and which of its files are here.
#[derive(Debug)]
struct Folder {
    publisher: NodeId,
    name: String,
    current: Current,
    /// For each file.
    here: Vec<bool>,
}

impl Folder {
    fn of(browsing: &Browsing, publisher: NodeId, current: Current) -> Self {
        let files = current.catalog.files();
        let here = files.map(|(_, entry)| has_artifact(&browsing.store, entry.id, entry.size));
        let here = here.collect();
        Self { publisher, name: browsing.names.publisher_name(publisher), current, here }
    }

    fn files(&self) -> impl Iterator<Item = (&FilePath, &FileEntry, bool)> {
        let files = self.current.catalog.files().zip(&self.here);
        files.map(|((path, entry), here)| (path, entry, *here))
    }

    /// Those at the place, if one is said.
    fn files_at(
        &self,
        place: Option<&Place>,
    ) -> impl Iterator<Item = (&FilePath, &FileEntry, bool)> {
        self.files().filter(move |(path, ..)| place.is_none_or(|place| place.covers(path)))
    }
}

/// Returns how many files were printed.
fn print(to: &mut impl Write, folders: &[Folder], place: Option<&Place>) -> io::Result<usize> {
    if place.is_none() {
        if folders.is_empty() {
            writeln!(to, "no folder of a publisher is known here")?;
            return Ok(0);
        }
        writeln!(to, "{}", publishers(folders).trim_fmt())?;
    }
    let mut printed = 0;
    for folder in folders {
        for (path, entry, here) in folder.files_at(place) {
            if printed == 0 {
                if place.is_none() {
                    writeln!(to)?;
                }
                writeln!(to, "{:>7}  {:16}  HERE     PATH", "SIZE", "MODIFIED (UTC)")?;
            }
            printed += 1;
            let (size, modified) = (bytes(entry.size), date(entry.modified_ns));
            let here = if here { "here" } else { "missing" };
            writeln!(to, "{size:>7}  {modified}  {here:7}  {}/{path}", folder.name)?;
        }
    }
    Ok(printed)
}

fn publishers(folders: &[Folder]) -> Table {
    let mut table = table(["PUBLISHER", "NODE ID", "FILES", "SIZE", "MISSING"], &[2, 3, 4]);
    for folder in folders {
        let sizes = folder.files().map(|(_, entry, _)| entry.size);
        table.add_row([
            folder.name.clone(),
            format!("{:x}", folder.publisher),
            folder.here.len().to_string(),
            bytes(sizes.fold(0, u64::saturating_add)),
            folder.here.iter().filter(|here| !**here).count().to_string(),
        ]);
    }
    table
}

/// A file, as a line of JSON.
#[derive(Debug, Serialize)]
struct Line<'a> {
    publisher: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    /// In hexadecimal digits, of a path that is no UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    path_bytes: Option<String>,
    id: String,
    size: u64,
    mode: u32,
    modified_ns: i64,
    here: bool,
}

fn print_json(to: &mut impl Write, folders: &[Folder], place: Option<&Place>) -> io::Result<usize> {
    let mut printed = 0;
    for folder in folders {
        let publisher = format!("{:x}", folder.publisher);
        for (path, entry, here) in folder.files_at(place) {
            printed += 1;
            let text = str::from_utf8(path.as_bytes()).ok();
            let hex = || path.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
            let line = Line {
                publisher: &publisher,
                name: &folder.name,
                path: text,
                path_bytes: text.is_none().then(hex),
                id: format!("{:x}", entry.id),
                size: entry.size,
                mode: entry.mode,
                modified_ns: entry.modified_ns,
                here,
            };
            serde_json::to_writer(&mut *to, &line)?;
            writeln!(to)?;
        }
    }
    Ok(printed)
}

#[cfg(test)]
mod tests;
