//! Which files are within a share, by what is held.

use std::collections::HashMap;

use gossip_engine::ArtifactId;

use super::{Here, OverShare};
use crate::catalog::{Catalog, FileEntry, FilePath};

fn id(number: u8) -> ArtifactId {
    ArtifactId::new([number; 32])
}

/// Files `a`, `b` and so on with these contents of these sizes.
fn catalog(files: &[(u8, u64)]) -> Catalog {
    let files = files.iter().zip(b'a'..).map(|((content, size), name)| {
        let path = FilePath::new(&[name]).expect("a path");
        (path, FileEntry { id: id(*content), size: *size, mode: 0o644, modified_ns: 0 })
    });
    Catalog::new(files).expect("a catalog")
}

/// The numbers of the files that are beyond a share, where these contents of these sizes are held.
fn beyond(files: &[(u8, u64)], limit: Option<u64>, held: &[(u8, u64)]) -> Vec<usize> {
    let held: HashMap<_, _> = held.iter().map(|(content, size)| (id(*content), *size)).collect();
    let look_up =
        |id| held.get(&id).map(|size| Here { size: *size, is_held: true, is_verified: true });
    let over = OverShare::of(&catalog(files), limit, &look_up);
    let beyond: Vec<usize> = (0..files.len()).filter(|number| over.contains(*number)).collect();
    let bytes: u64 = beyond.iter().map(|number| files[*number].1).sum();
    assert_eq!((over.files(), over.bytes()), (beyond.len() as u64, bytes));
    beyond
}

#[test]
fn each_file_counts_that_still_fits_in_the_order_of_paths() {
    let files = [(1, 40), (2, 70), (3, 60), (4, 1)];
    assert!(beyond(&files, None, &[]).is_empty());
    assert!(beyond(&files, Some(171), &[]).is_empty());
    assert_eq!(beyond(&files, Some(170), &[]), [3]);
    // The second does not fit beside the first; the third does.
    assert_eq!(beyond(&files, Some(100), &[]), [1, 3]);
    assert_eq!(beyond(&files, Some(101), &[]), [1]);
    assert_eq!(beyond(&files, Some(0), &[]), [0, 1, 2, 3]);
}

#[test]
fn what_is_held_counts_first() {
    let files = [(1, 40), (2, 70), (3, 60)];
    assert_eq!(beyond(&files, Some(100), &[(2, 70)]), [0, 2]);
    assert_eq!(beyond(&files, Some(110), &[(2, 70)]), [2]);
    // More is held than a smaller share has: what does not fit is beyond it.
    assert_eq!(beyond(&files, Some(100), &[(1, 40), (2, 70), (3, 60)]), [1]);
}

#[test]
fn what_is_only_advertised_does_not_count_first() {
    let advertised = |id_: ArtifactId| {
        (id_ == id(2)).then_some(Here { size: 70, is_held: false, is_verified: false })
    };
    let over = OverShare::of(&catalog(&[(1, 40), (2, 70)]), Some(100), &advertised);
    assert!(!over.contains(0) && over.contains(1));
}

#[test]
fn equal_files_count_once() {
    assert!(beyond(&[(1, 60), (1, 60), (2, 40)], Some(100), &[]).is_empty());
    assert_eq!(beyond(&[(1, 60), (1, 60), (2, 41)], Some(100), &[]), [2]);
    assert_eq!(beyond(&[(2, 80), (1, 60), (1, 60)], Some(100), &[]), [1, 2]);
}

#[test]
fn a_false_size_of_what_is_held_is_beyond_any_share() {
    assert_eq!(beyond(&[(1, 0), (2, 5)], None, &[(1, 70)]), [0]);
    assert_eq!(beyond(&[(1, 70), (1, 0)], None, &[(1, 70)]), [1]);
    assert_eq!(beyond(&[(1, u64::MAX - 1), (2, 2)], Some(u64::MAX - 1), &[]), [1]);
}

#[test]
fn another_length_before_it_is_verified_is_not_held() {
    let found = |size| {
        move |of: ArtifactId| {
            (of == id(1)).then_some(Here { size, is_held: true, is_verified: false })
        }
    };
    let files = catalog(&[(1, 70), (2, 40)]);
    assert_eq!(OverShare::of(&files, None, &found(9)), OverShare::default());
    // It has no place before the others, unless it has the length that it should have.
    let beyond =
        |size| [0, 1].map(|at| OverShare::of(&files, Some(100), &found(size)).contains(at));
    assert_eq!((beyond(70), beyond(9)), ([false, true], [false, true]));
    let held = |of: ArtifactId| match of == id(1) {
        true => Some(Here { size: 9, is_held: true, is_verified: false }),
        false => Some(Here { size: 40, is_held: true, is_verified: true }),
    };
    assert!(OverShare::of(&files, Some(100), &held).contains(0));
}
