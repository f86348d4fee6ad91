//! Catalogs in any order, crashes at any step, and somebody's file among those of the export.

use proptest::prelude::*;

use super::*;
use crate::export::steps;

const NAMES: [&str; 3] = ["a", "b", "c"];
const CONTENTS: [&str; 4] = ["", "one", "two", "three pieces"];
/// Has the size of other contents, and is none of them.
const FOREIGN: &str = "own";

/// What happens next.
#[derive(Clone, Debug)]
struct Step {
    /// Each path with its content. Of those that cannot stand together the first one counts.
    files: Vec<(String, &'static str)>,
    /// At which steps of the file system the first try and the second one die.
    crashes: [Option<u64>; 2],
    /// Somebody puts a file there before, if they can.
    foreign: Option<String>,
    /// Whether the export is opened anew before.
    is_opened: bool,
    /// Whether the last try comes to its end. If not, the next catalog meets what a crash has left of this one.
    is_finished: bool,
}

fn a_path() -> impl Strategy<Value = String> {
    let names = prop::collection::vec(prop::sample::select(&NAMES[..]), 1..=3);
    names.prop_map(|names| names.join("/"))
}

fn a_step() -> impl Strategy<Value = Step> {
    let file = (a_path(), prop::sample::select(&CONTENTS[..]));
    let files = prop::collection::vec(file, 0..6);
    let crash = || prop::option::weighted(0.7, 0..60_u64);
    let foreign = prop::option::weighted(0.2, a_path());
    (files, [crash(), crash()], foreign, any::<[bool; 2]>()).prop_map(
        |(files, crashes, foreign, [is_opened, is_finished])| Step {
            files,
            crashes,
            foreign,
            is_opened,
            is_finished,
        },
    )
}

fn collide(a: &str, b: &str) -> bool {
    a == b || a.starts_with(&format!("{b}/")) || b.starts_with(&format!("{a}/"))
}

fn prefix_free(files: &[(String, &'static str)]) -> Vec<(String, &'static str)> {
    let mut kept: Vec<(String, &str)> = Vec::new();
    for (path, content) in files {
        if !kept.iter().any(|(other, _)| collide(other, path)) {
            kept.push((path.clone(), *content));
        }
    }
    kept
}

/// `bytes` are what a call writes before it ends.
fn run(steps: &[Step], bytes: u64) {
    let top = tempfile::tempdir().unwrap();
    let alice = top.path().join("alice");
    let content = Memory::default();
    let open_alice = || {
        let mut export = open(top.path(), "alice")?;
        export.limits.bytes = bytes;
        Ok::<_, ExportError>(export)
    };
    let mut export = open_alice().unwrap();
    let mut foreign: Vec<String> = Vec::new();
    // What a path may have had until now.
    let mut ever: Vec<(String, &str)> = Vec::new();
    for step in steps {
        if let Some(path) = &step.foreign {
            let at = alice.join(path);
            let is_free = fs::symlink_metadata(&at).is_err();
            if is_free && fs::create_dir_all(at.parent().unwrap()).is_ok() {
                put(&at, FOREIGN);
                foreign.push(path.clone());
            }
        }
        let listed = prefix_free(&step.files);
        ever.extend(listed.iter().cloned());
        let listed: Vec<(&str, &str)> = listed.iter().map(|(p, c)| (p.as_str(), *c)).collect();
        let catalog = content.catalog(&listed);
        let is_foreign = |path: &str| foreign.iter().any(|other| other == path);
        for at in step.crashes.into_iter().flatten() {
            steps::crash_at(at);
            let opened = if step.is_opened { open_alice() } else { Ok(export) };
            let _ = opened.map(|mut export| {
                while export.apply(&catalog, &content, &|| false).is_ok_and(|done| done.more) {}
            });
            steps::heal();
            // No half file, and nothing of somebody else's touched.
            for (path, there) in files(&alice) {
                if is_foreign(&path) {
                    assert_eq!(there, FOREIGN, "{path}");
                } else {
                    let known = ever.iter().any(|(p, content)| *p == path && *content == there);
                    assert!(known, "{path} has {there:?}");
                }
            }
            export = open_alice().unwrap();
        }
        if step.is_opened {
            export = open_alice().unwrap();
        }
        if !step.is_finished {
            continue;
        }
        let mut progress = apply(&mut export, &catalog, &content);
        while progress.more {
            progress = apply(&mut export, &catalog, &content);
        }
        let wanted: Vec<(&str, &str)> = listed
            .iter()
            .filter(|(path, _)| !foreign.iter().any(|other| collide(other, path)))
            .copied()
            .collect();
        assert_eq!(progress.present, wanted.len());
        assert_eq!(progress.refused_files, listed.len() - wanted.len());
        let mut expected = list(&wanted);
        expected.extend(foreign.iter().map(|path| (path.clone(), FOREIGN.into())));
        assert_eq!(files(&alice), expected);
        for (path, content) in wanted {
            let entry = entry_of(content.as_bytes());
            assert_eq!(time(&alice.join(path)), entry.modified_ns);
            assert_eq!(mode(&alice.join(path)), entry.mode);
        }
        // No folder is left empty.
        for (path, what) in tree(&alice) {
            let is_used =
                what != "/" || expected.keys().any(|file| file.starts_with(&format!("{path}/")));
            assert!(is_used, "{path} is empty");
        }
        assert_eq!(files(&top.path().join(".gossip-export/alice.new")), list(&[]));
        let again = apply(&mut export, &catalog, &content);
        assert_eq!((again.written, again.removed, again.refused.len()), (0, 0, 0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_folder_becomes_what_the_catalog_says(
        steps in prop::collection::vec(a_step(), 1..5),
        bytes in prop::sample::select(&[1, 6, u64::MAX][..]),
    ) {
        run(&steps, bytes);
    }
}

#[test]
fn a_crash_at_each_step_is_followed_by_another_one() {
    let files = |files: &[(&str, &'static str)]| -> Vec<(String, &'static str)> {
        files.iter().map(|(path, content)| ((*path).into(), *content)).collect()
    };
    let step = |listed: &[(&str, &'static str)], crashes| Step {
        files: files(listed),
        crashes,
        foreign: None,
        is_opened: true,
        is_finished: true,
    };
    // More steps than there are, so that the last ones do not die.
    for first in 0..50 {
        for second in [None, Some(3), Some(first)] {
            let mut start = step(&[("a", "one"), ("b/c", "two"), ("c/a/b", "")], [None; 2]);
            start.foreign = Some("c/c".into());
            let change = [("a/b", "one"), ("b", "two"), ("c/a/b", "three pieces")];
            // Finished by the same catalog, or by the one after it.
            for is_finished in [false, true] {
                let changed = Step { is_finished, ..step(&change, [Some(first), second]) };
                run(&[start.clone(), changed, step(&[("a", "two")], [None; 2])], u64::MAX);
            }
        }
    }
}
