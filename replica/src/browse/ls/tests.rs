use std::sync::Arc;

use gossip_engine::ArtifactId;
use gossip_replica::{
    catalog::{Catalog, Head},
    identity::Identity,
};

use super::*;

fn folder(name: &str, paths: &[&[u8]]) -> Folder {
    let files = paths.iter().zip(1..).map(|(path, number)| {
        let entry = FileEntry {
            id: ArtifactId::new([number; 32]),
            size: u64::from(number) * 1_000,
            mode: 0o640,
            modified_ns: 1_000_000_000,
        };
        (FilePath::new(path).expect("a path"), entry)
    });
    let catalog = Catalog::new(files).expect("a catalog");
    let here = (0..catalog.len()).map(|number| number > 0).collect();
    let identity = Identity::generate();
    let head = Head::sign(&identity, 1, ArtifactId::new([0; 32]), 1);
    let current = Current { head, catalog: Arc::new(catalog), over_share: Arc::default() };
    Folder { publisher: identity.node_id(), name: name.to_owned(), current, here }
}

fn text(folders: &[Folder], place: Option<&str>) -> (String, usize) {
    let place = place.map(|place| Place::parse(place.as_ref()).expect("a place"));
    let mut text = Vec::new();
    let printed = print(&mut text, folders, place.as_ref()).expect("printed");
    (String::from_utf8(text).expect("UTF-8"), printed)
}

#[test]
fn publishers_come_first_and_then_their_files() {
    let folders = [folder("alice", &[b"b", b"a/x"]), folder("bob", &[b"c"])];
    let (text, printed) = text(&folders, None);
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    assert_eq!((printed, lines.len()), (3, 3 + 1 + 1 + 3), "{text}");
    assert!(lines[1].starts_with("alice") && lines[1].ends_with("2  3.0 kB        1"), "{text}");
    assert!(lines[2].starts_with("bob"), "{text}");
    assert_eq!(lines[5], " 2.0 kB  1970-01-01 00:00  missing  alice/a/x");
    assert_eq!(lines[6], " 1.0 kB  1970-01-01 00:00  here     alice/b");
    assert!(lines[7].ends_with("bob/c"), "{text}");
}

#[test]
fn a_place_shows_its_files_alone() {
    let folders = [folder("alice", &[b"a/x", b"ab", b"a/y"])];
    let (found, printed) = text(&folders, Some("alice/a"));
    assert_eq!(printed, 2);
    assert!(found.contains("alice/a/x") && !found.contains("ab") && !found.contains("PUBLISHER"));
    assert_eq!(text(&folders, Some("alice/nothing")), (String::new(), 0));
    assert_eq!(text(&[], None), ("no folder of a publisher is known here\n".to_owned(), 0));
}

#[test]
fn no_path_speaks_to_the_terminal() {
    // A byte that is no UTF-8, one that is a control character of another character set, one that turns the text round.
    let paths: [&[u8]; 3] = [b"\xff\x9b31m", "c1 \u{9b}31m".as_bytes(), "\u{202e}gpj".as_bytes()];
    let (text, _) = text(&[folder("alice", &paths)], None);
    let is_bad = |it: char| it != '\n' && (it.is_control() || it == '\u{202e}');
    assert!(!text.contains(is_bad), "{text:?}");
    assert!(text.contains("\\xff\\x9b31m"), "{text:?}");
}

#[test]
fn json_has_a_path_or_its_bytes() {
    let mut json = Vec::new();
    let folders = [folder("alice", &[b"a \"b\"", b"\xff/x"])];
    assert_eq!(print_json(&mut json, &folders, None).expect("printed"), 2);
    let lines: Vec<serde_json::Value> = String::from_utf8(json)
        .expect("UTF-8")
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(lines[0]["path"], "a \"b\"");
    assert_eq!(lines[1]["path_bytes"], "ff2f78");
    assert!(lines[0].get("path_bytes").is_none() && lines[1].get("path").is_none());
    for line in &lines {
        assert_eq!(line["publisher"], format!("{:x}", folders[0].publisher));
        assert_eq!((&line["name"], &line["mode"]), (&"alice".into(), &0o640.into()));
        assert_eq!(line["modified_ns"], 1_000_000_000);
    }
    assert_eq!((&lines[0]["here"], &lines[1]["here"]), (&false.into(), &true.into()));
    assert_eq!(lines[0]["id"], "01".repeat(32));
}
