//! Comparing every file with every replica's copy of it, byte by byte.
//!
//! A file is read once, a piece at a time, and each piece is compared with all copies, on a few threads.
//! Memory: two pieces for each thread. Open files: one for each replica and thread, and the source.

use std::{
    fs,
    io::{self, Read as _},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use indicatif::ProgressBar;
use tokio::task::JoinSet;

use super::{source::File, watch::style};
use crate::failure::Failure;

const PIECE_BYTES: usize = 256 << 10;
const MAX_THREADS: usize = 4;

/// Compares all files with what each replica has exported: its folders, in the order of the publishers.
///
/// # Errors
///
/// The first difference in the order of the files, and how many files differ.
pub(super) async fn verify(
    exports: Vec<Vec<PathBuf>>,
    files: Arc<Vec<File>>,
    bar: &ProgressBar,
    cancel: &Arc<AtomicBool>,
) -> Result<(), Failure> {
    bar.set_style(style("{spinner} comparing {wide_bar} {pos}/{len} files"));
    bar.set_length(files.len() as u64);
    bar.set_position(0);
    let exports: Arc<[Vec<PathBuf>]> = exports.into();
    let next = Arc::new(AtomicUsize::new(0));
    let problems = Arc::new(Mutex::new(Vec::new()));
    let mut threads = JoinSet::new();
    for _ in 0..std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS) {
        let (files, exports, bar) = (files.clone(), exports.clone(), bar.clone());
        let (next, problems, cancel) = (next.clone(), problems.clone(), cancel.clone());
        threads.spawn_blocking(move || {
            // Relaxed, for both: a ticket and a wish, which order nothing else.
            while let Some((number, file)) = {
                let number = next.fetch_add(1, Ordering::Relaxed);
                files.get(number).map(|file| (number, file))
            } {
                if cancel.load(Ordering::Relaxed) {
                    return;
                }
                if let Err(problem) = compare(file, &copies_of(file, &exports)) {
                    problems.lock().unwrap_or_else(PoisonError::into_inner).push((number, problem));
                }
                bar.inc(1);
            }
        });
    }
    while let Some(ended) = threads.join_next().await {
        ended.map_err(|error| Failure::runtime(format_args!("comparing failed: {error}")))?;
    }
    let mut problems =
        std::mem::take(&mut *problems.lock().unwrap_or_else(PoisonError::into_inner));
    problems.sort_unstable();
    match &problems[..] {
        [] => Ok(()),
        [(_, only)] => Err(Failure::runtime(only)),
        [(_, first), rest @ ..] => {
            let count = rest.len();
            Err(Failure::runtime(format_args!("{first}; and {count} more files differ")))
        }
    }
}

/// Where each replica has exported a file to.
fn copies_of(file: &File, exports: &[Vec<PathBuf>]) -> Vec<PathBuf> {
    let name = file.name.to_path().unwrap_or_else(|_| file.path.clone());
    exports.iter().map(|folders| folders[file.publisher].join(&name)).collect()
}

/// What is wrong with a file or one of its copies.
fn compare(file: &File, copies: &[PathBuf]) -> Result<(), String> {
    let path = file.path.display();
    // A file that somebody has changed is nobody's failure, but nothing can be said of it.
    let blame = |problem: String| match file.is_unchanged() {
        true => problem,
        false => format!("{path} changed during the demo, so its copies cannot be compared"),
    };
    let unreadable = |error: io::Error| blame(format!("cannot read {path}: {error}"));
    let mut source = fs::File::open(&file.path).map_err(unreadable)?;
    let mut opened = Vec::with_capacity(copies.len());
    for (index, copy) in copies.iter().enumerate() {
        let failed = |error| blame(format!("replica {}, {path}: {error}", index + 1));
        opened.push(fs::File::open(copy).map_err(failed)?);
    }
    let (mut piece, mut other) = (vec![0; PIECE_BYTES], vec![0; PIECE_BYTES]);
    let mut offset = 0;
    loop {
        let length = read_full(&mut source, &mut piece).map_err(unreadable)?;
        for (index, copy) in opened.iter_mut().enumerate() {
            let number = index + 1;
            // One byte more than there should be is seen with the last piece.
            let read = read_full(copy, &mut other)
                .map_err(|error| blame(format!("replica {number}, {path}: {error}")))?;
            if other[..read] != piece[..length] {
                return Err(blame(format!("the copy of {path} on replica {number} differs")));
            }
        }
        offset += length as u64;
        if length < piece.len() {
            break;
        }
    }
    if offset != file.artifact.size {
        return Err(blame(format!("{path} has {offset} bytes, its copies {}", file.artifact.size)));
    }
    Ok(())
}

/// Fills the buffer, or as much of it as there is left to read.
fn read_full(source: &mut impl io::Read, buffer: &mut [u8]) -> io::Result<usize> {
    let length = buffer.len() as u64;
    let mut filled = io::Cursor::new(buffer);
    io::copy(&mut source.take(length), &mut filled).map(|read| read as usize)
}

#[cfg(test)]
mod tests;
