use super::*;

fn parse(word: &str) -> Place {
    Place::parse(OsStr::new(word)).expect("a place")
}

fn refusal(word: &str) -> String {
    Place::parse(OsStr::new(word)).expect_err("it is none").to_string()
}

fn path(text: &str) -> FilePath {
    FilePath::new(text.as_bytes()).expect("a path")
}

#[test]
fn a_place_is_a_publisher_and_perhaps_a_path() {
    for (word, publisher, rest) in [
        ("alice", "alice", None),
        ("alice/", "alice", None),
        ("0123", "0123", None),
        ("alice/a", "alice", Some("a")),
        ("alice/a/b c/", "alice", Some("a/b c")),
        ("alice/-rf", "alice", Some("-rf")),
        ("alice/ä/'\"\\", "alice", Some("ä/'\"\\")),
        ("alice/...", "alice", Some("...")),
    ] {
        let place = parse(word);
        assert_eq!((place.publisher.as_str(), place.path), (publisher, rest.map(path)), "{word}");
    }
}

#[test]
fn what_leads_elsewhere_or_speaks_to_a_terminal_is_no_place() {
    for (word, names) in [
        ("", "begins with a publisher"),
        ("/", "begins with a publisher"),
        ("/a", "begins with a publisher"),
        ("alice//a", "absolute"),
        ("alice/a//b", "is empty"),
        ("alice/../b", "\"..\""),
        ("alice/.", "\".\""),
        ("alice/\u{1b}[2J", "control character"),
    ] {
        let refusal = refusal(word);
        assert!(refusal.contains(names), "{word:?}: {refusal}");
        assert!(!refusal.contains(char::is_control), "{refusal:?}");
    }
}

#[cfg(unix)]
#[test]
fn a_path_may_have_any_bytes_and_a_publisher_not() {
    use std::os::unix::ffi::OsStrExt as _;

    let place = Place::parse(OsStr::from_bytes(b"alice/\xff")).expect("a place");
    assert_eq!(place.path, FilePath::new(b"\xff").ok());
    let refusal = Place::parse(OsStr::from_bytes(b"\xff/a")).expect_err("it is none");
    assert!(refusal.to_string().contains("no name has such bytes"), "{refusal}");
}

#[test]
fn a_folder_covers_what_is_in_it_and_nothing_that_begins_alike() {
    assert!(parse("alice").covers(&path("a")));
    let place = parse("alice/a");
    assert!(place.covers(&path("a")) && place.covers(&path("a/b/c")));
    assert!(!place.covers(&path("ab")) && !place.covers(&path("b/a")));
}
