//! What is to be done, from what is known alone: no system call for a file that is as it should be.

use super::record::Files;
use crate::catalog::{Catalog, FileEntry, FilePath};

/// The most folders of a catalog that are made. A catalog of the largest size could name a hundred times as many.
pub const MAX_FOLDERS: usize = 1 << 18;

pub(super) struct Plan<'a> {
    /// The files that the catalog does not name, in order.
    pub(super) removals: Vec<FilePath>,
    /// The files that are not as the catalog says, in order.
    pub(super) wanted: Vec<(&'a FilePath, FileEntry)>,
    /// Those in folders beyond the limit.
    pub(super) beyond: Vec<&'a FilePath>,
    /// How many are as the catalog says.
    pub(super) present: usize,
}

impl<'a> Plan<'a> {
    pub(super) fn new(files: &Files, catalog: &'a Catalog, max_folders: usize) -> Self {
        let mut plan =
            Self { removals: Vec::new(), wanted: Vec::new(), beyond: Vec::new(), present: 0 };
        let mut known = files.iter().peekable();
        let mut folders = 0;
        let mut before: &[u8] = b"";
        for (path, entry) in catalog.files() {
            while let Some((gone, _)) = known.next_if(|(other, _)| *other < path) {
                plan.removals.push(gone.clone());
            }
            folders += new_folders(before, path.as_bytes());
            before = path.as_bytes();
            let entry = normal(entry);
            match known.next_if(|(other, _)| *other == path) {
                Some((_, known)) if known.is_as(&entry) => plan.present += 1,
                _ if folders > max_folders => plan.beyond.push(path),
                _ => plan.wanted.push((path, entry)),
            }
        }
        plan.removals.extend(known.map(|(path, _)| path.clone()));
        plan
    }
}

/// The mode as it is set: nine bits, and the owner can always read. Replacing needs no permission to write.
fn normal(entry: &FileEntry) -> FileEntry {
    FileEntry { mode: entry.mode & 0o777 | 0o400, ..*entry }
}

/// In how many folders `path` is that the path before it in order is not in.
fn new_folders(before: &[u8], path: &[u8]) -> usize {
    let same = before.iter().zip(path).take_while(|(a, b)| a == b).count();
    // A name that is only the beginning of another is not shared.
    path[same..].iter().filter(|byte| **byte == b'/').count()
}

#[cfg(test)]
mod tests {
    use super::new_folders;

    #[test]
    fn each_folder_is_counted_once() {
        let paths: [&[u8]; 6] = [b"a", b"b/c", b"b/d/e", b"b/dd/e", b"b/dd/f", b"c/dd/f"];
        let mut before: &[u8] = b"";
        let counts = paths.map(|path| new_folders(std::mem::replace(&mut before, path), path));
        assert_eq!(counts, [0, 1, 1, 1, 0, 2]);
    }
}
