//! Rules in folders that are walked, since what a rule means depends on where the walk stands.

use std::{
    fs::{create_dir_all, write},
    path::{Path, PathBuf},
};

use super::*;
use crate::publish::{Listing, SkipReason, list_files};

/// A folder with these files, those with rules among them.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let path = home.path().join(path);
        create_dir_all(path.parent().unwrap()).unwrap();
        write(path, content).unwrap();
    }
    home
}

fn list(home: &tempfile::TempDir) -> Listing {
    list_files(home.path(), &[]).unwrap()
}

/// What is listed, without the files that hold rules.
fn listed(home: &tempfile::TempDir) -> Vec<PathBuf> {
    let below = |path: PathBuf| path.strip_prefix(home.path()).unwrap().to_path_buf();
    let files = list(home).files.into_iter().map(below);
    files.filter(|path| !NAMES.iter().any(|name| path.ends_with(name))).collect()
}

/// What is left out, and the file that says so.
fn ignored(home: &tempfile::TempDir) -> Vec<(PathBuf, PathBuf)> {
    let below = |path: &Path| path.strip_prefix(home.path()).unwrap().to_path_buf();
    let skipped = list(home).skipped.into_iter();
    skipped
        .map(|skipped| match &skipped.reason {
            SkipReason::Ignored { file } => (below(&skipped.path), below(file)),
            reason => panic!("{}: {reason}", skipped.path.display()),
        })
        .collect()
}

/// Why the rules of the only entry that is skipped cannot be applied.
fn fault(home: &tempfile::TempDir, skipped: &str) -> RulesError {
    let mut listing = list(home);
    let only = listing.skipped.pop().unwrap();
    assert!(listing.skipped.is_empty());
    assert_eq!(only.path, home.path().join(skipped));
    match only.reason {
        SkipReason::Rules(error) => error,
        reason => panic!("{reason}"),
    }
}

fn paths<const N: usize>(paths: [&str; N]) -> [PathBuf; N] {
    paths.map(PathBuf::from)
}

#[test]
fn what_rules_exclude_is_left_out_and_a_folder_is_reported_once() {
    let home = folder(&[
        (".gitignore", "*.o\n# a comment\n\n/target\nlogs/\n"),
        ("a.o", ""),
        ("a.txt", ""),
        ("target/1", ""),
        ("target/2/3", ""),
        ("sub/target", ""),
        ("sub/deep/b.o", ""),
        ("sub/logs/x", ""),
        ("logs.txt/logs", ""),
    ]);
    assert_eq!(listed(&home), paths(["a.txt", "logs.txt/logs", "sub/target"]));
    let by = PathBuf::from(".gitignore");
    let left_out = paths(["a.o", "sub/deep/b.o", "sub/logs", "target"]);
    assert_eq!(ignored(&home), left_out.map(|path| (path, by.clone())));
}

#[test]
fn rules_are_published_like_other_files() {
    let home = folder(&[(".gitignore", "secret\n"), (".ignore", "x\n"), ("secret", "")]);
    assert_eq!(list(&home).files, [".gitignore", ".ignore"].map(|name| home.path().join(name)));
    // Unless they exclude themselves.
    let home = folder(&[(".gitignore", ".gitignore\n"), ("a", "")]);
    assert_eq!(list(&home).files, [home.path().join("a")]);
}

#[test]
fn the_deepest_rule_decides_and_the_last_of_a_file() {
    let home = folder(&[
        (".gitignore", "*.log\n!keep.log\n/out\n"),
        ("a.log", ""),
        ("keep.log", ""),
        ("sub/.gitignore", "!b.log\nkeep.log\n/out\n"),
        ("sub/a.log", ""),
        ("sub/b.log", ""),
        ("sub/keep.log", ""),
        ("sub/out/x", ""),
        ("sub/deeper/out/x", ""),
        // What is below a folder that is excluded stays excluded.
        ("out/.gitignore", "!x\n"),
        ("out/x", ""),
        // Rules of a folder end with it.
        ("then/b.log", ""),
        ("then/out/x", ""),
    ]);
    let published = ["keep.log", "sub/b.log", "sub/deeper/out/x", "then/out/x"];
    assert_eq!(listed(&home), paths(published));
    let left_out = [
        ("a.log", ".gitignore"),
        ("out", ".gitignore"),
        ("sub/a.log", ".gitignore"),
        ("sub/keep.log", "sub/.gitignore"),
        ("sub/out", "sub/.gitignore"),
        ("then/b.log", ".gitignore"),
    ];
    assert_eq!(ignored(&home), left_out.map(|(path, by)| (path.into(), by.into())));
}

#[test]
fn rules_for_all_tools_precede_those_for_git() {
    let home = folder(&[
        (".ignore", "!a\nb\n"),
        (".gitignore", "a\n"),
        ("a", ""),
        ("b", ""),
        ("sub/.gitignore", "a\n!b\n"),
        ("sub/a", ""),
        ("sub/b", ""),
    ]);
    assert_eq!(listed(&home), paths(["a", "sub/a"]));
}

#[test]
fn nothing_above_the_folder_counts() {
    let home = folder(&[
        (".gitignore", "*\n"),
        ("published/a", ""),
        ("published/.git/info/exclude", "a\n"),
        ("published/x.o", ""),
        ("published/.gitignore", "*.o\n"),
    ]);
    let folder = home.path().join("published");
    let listing = list_files(&folder, &[]).unwrap();
    assert_eq!(listing.files, [folder.join(".gitignore"), folder.join("a")]);
}

#[test]
fn a_line_that_is_no_rule_keeps_its_folder_from_being_published() {
    let home = folder(&[
        ("a", ""),
        ("sub/.gitignore", "x\n[z-a]\n"),
        ("sub/secret", ""),
        ("sub/deep/y", ""),
    ]);
    assert_eq!(listed(&home), paths(["a"]));
    let error = fault(&home, "sub");
    assert!(matches!(error, RulesError::Malformed { line: 2, .. }), "{error}");
    let said = error.to_string();
    let file = home.path().join("sub/.gitignore");
    assert!(said.starts_with(&format!("{}, line 2: ", file.display())), "{said}");
}

#[test]
fn a_comment_may_be_in_any_encoding_and_lines_may_end_as_on_windows() {
    let home = folder(&[("a", ""), ("b", "")]);
    write(home.path().join(".gitignore"), b"\xef\xbb\xbfa\r\n# \xfcber\r\n").unwrap();
    assert_eq!(listed(&home), paths(["b"]));
    write(home.path().join(".gitignore"), b"a\n\xfcber\n").unwrap();
    assert!(matches!(fault(&home, ""), RulesError::Malformed { line: 2, .. }));
}

#[test]
fn rules_are_read_to_a_limit() {
    let home = folder(&[("a", ""), ("sub/b", "")]);
    let rules = home.path().join(".gitignore");
    // A hundred megabytes without a line's end, which take no space.
    let file = fs::File::create(&rules).unwrap();
    file.set_len(100 << 20).unwrap();
    assert!(matches!(fault(&home, ""), RulesError::TooLarge { .. }));
    // Those of a folder and of all above it count together.
    write(&rules, vec![b'#'; MAX_BYTES - 3]).unwrap();
    write(home.path().join("sub/.ignore"), "b\n\n\n").unwrap();
    assert_eq!(listed(&home), paths(["a"]));
}

/// What is the dearest for its size: many rules with stars, and names that nearly match them.
#[test]
fn the_most_rules_take_no_more_than_moments() {
    let rules: String = (0..).map(|i| format!("*a*{i}*b*\n")).take(MAX_BYTES / 14).collect();
    let home = folder(&[(".gitignore", &rules)]);
    for i in 0..20 {
        write(home.path().join(format!("{}{i}", "a1a2b3".repeat(40))), "").unwrap();
    }
    let listing = list(&home);
    assert!(listing.skipped.len() <= 20);
}

#[cfg(unix)]
#[test]
fn what_is_no_file_holds_no_rules_and_keeps_nobody_waiting() {
    use std::os::unix::{fs::symlink, net::UnixListener};

    let home = folder(&[("a", ""), ("sub/b", ""), ("sub/rules", "b\n")]);
    let rules = home.path().join("sub/.gitignore");
    let made = std::process::Command::new("mkfifo").arg(&rules).status().unwrap();
    assert!(made.success());
    assert!(matches!(fault(&home, "sub"), RulesError::NotAFile { .. }));
    assert_eq!(listed(&home), paths(["a"]));
    fs::remove_file(&rules).unwrap();
    symlink("rules", &rules).unwrap();
    assert!(matches!(fault(&home, "sub"), RulesError::NotAFile { .. }));
    fs::remove_file(&rules).unwrap();
    symlink("/dev/zero", &rules).unwrap();
    assert!(matches!(fault(&home, "sub"), RulesError::NotAFile { .. }));
    fs::remove_file(&rules).unwrap();
    let _socket = UnixListener::bind(&rules).unwrap();
    assert!(matches!(fault(&home, "sub"), RulesError::NotAFile { .. }));
    fs::remove_file(&rules).unwrap();
    // A folder of that name is one like others.
    create_dir_all(&rules).unwrap();
    write(rules.join("c"), "").unwrap();
    assert_eq!(list(&home).files.len(), 4);
}

#[cfg(unix)]
#[test]
fn names_that_are_no_unicode_are_matched() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};

    let home = folder(&[(".gitignore", "*.o\n")]);
    for name in [&b"\xff.o"[..], b"\xff.c"] {
        write(home.path().join(OsStr::from_bytes(name)), "").unwrap();
    }
    assert_eq!(listed(&home), [PathBuf::from(OsStr::from_bytes(b"\xff.c"))]);
}

#[test]
fn a_thousand_folders_deep_rules_apply() {
    let home = folder(&[(".gitignore", "*.o\n")]);
    let mut deep = home.path().to_path_buf();
    for i in 0..1_000 {
        deep.push("d");
        if i % 100 == 0 {
            create_dir_all(&deep).unwrap();
            write(deep.join(".gitignore"), format!("/{i}\n")).unwrap();
        }
    }
    create_dir_all(&deep).unwrap();
    for name in ["a.c", "a.o"] {
        write(deep.join(name), "").unwrap();
    }
    let listing = list(&home);
    assert_eq!(listing.files.last(), Some(&deep.join("a.c")));
    assert_eq!(listing.files.len(), 12);
    assert_eq!(listing.skipped.len(), 1);
}
