//! What is a path, and what is not.

use std::path::Path;

use proptest::prelude::*;

use super::{FilePath, MAX_DEPTH, MAX_NAME_BYTES, MAX_PATH_BYTES, PathError};

#[test]
fn odd_names_are_names() {
    for name in [
        "a", "a b", " ", "...", ".hidden", "-rf", "aux", "CON", "a:b", "a\\b", "ü", "日本", "~",
        "$HOME", "*", "a'b\"c",
    ] {
        let path = FilePath::new(name.as_bytes()).expect(name);
        assert_eq!(path.to_path().expect(name), Path::new(name));
        assert_eq!(FilePath::of(Path::new(name)), Ok(path));
    }
    let name = "n".repeat(MAX_NAME_BYTES);
    assert!(FilePath::new(name.as_bytes()).is_ok());
    assert!(FilePath::new(b"\xff\xfe").is_ok(), "what is no UTF-8 is a name on Unix");
}

#[test]
fn what_leads_elsewhere_is_no_path() {
    for (bytes, error) in [
        (&b""[..], PathError::Empty),
        (b"/", PathError::Absolute),
        (b"/etc/passwd", PathError::Absolute),
        (b"..", PathError::NotAName),
        (b"a/../b", PathError::NotAName),
        (b"a/..", PathError::NotAName),
        (b"./a", PathError::NotAName),
        (b"a//b", PathError::NotAName),
        (b"a/", PathError::NotAName),
        (b"a\nb", PathError::Control),
        (b"a\0b", PathError::Control),
        (b"\x1b[31m", PathError::Control),
        (b"\x7f", PathError::Control),
    ] {
        assert_eq!(FilePath::new(bytes), Err(error), "{bytes:?}");
    }
}

#[test]
fn limits_hold_to_the_byte() {
    let name = "n".repeat(MAX_NAME_BYTES + 1);
    assert_eq!(FilePath::new(name.as_bytes()), Err(PathError::NameTooLong(MAX_NAME_BYTES + 1)));
    let deep = |names: usize| vec!["a"; names].join("/");
    assert!(FilePath::new(deep(MAX_DEPTH).as_bytes()).is_ok());
    assert_eq!(FilePath::new(deep(MAX_DEPTH + 1).as_bytes()), Err(PathError::TooDeep));
    let long = |bytes: usize| {
        let mut path = format!("{}/", "n".repeat(254)).repeat(bytes / 255 + 1);
        path.truncate(bytes);
        path.trim_end_matches('/').to_owned() + if path.ends_with('/') { "n" } else { "" }
    };
    assert!(FilePath::new(long(MAX_PATH_BYTES).as_bytes()).is_ok());
    let beyond = MAX_PATH_BYTES + 1;
    assert_eq!(FilePath::new(long(beyond).as_bytes()), Err(PathError::TooLong(beyond)));
}

#[test]
fn what_people_see_is_harmless_and_says_which() {
    let shown = |bytes: &[u8]| FilePath::new(bytes).expect("a path").to_string();
    assert_eq!(shown("ü/'a b'".as_bytes()), "ü/'a b'");
    assert_eq!(shown(b"\xffa"), "\\xffa");
    assert_eq!(shown(b"\\xffa"), "\\\\xffa", "not to be taken for an escape");
    assert_eq!(shown("a\u{202e}b".as_bytes()), "a\\u{202e}b", "no text from right to left");
    assert_eq!(shown("a\u{9b}b".as_bytes()), "a\\u{9b}b", "no control character of eight bits");
}

#[test]
fn a_folder_contains_what_is_below_it() {
    let path = |text: &str| FilePath::new(text.as_bytes()).expect("a path");
    assert!(path("a").contains(&path("a/b")));
    assert!(path("a").contains(&path("a/b/c")));
    assert!(!path("a").contains(&path("a")));
    assert!(!path("a").contains(&path("ab")));
    assert!(!path("a/b").contains(&path("a")));
}

#[test]
fn what_is_in_a_folder_stands_together() {
    let mut paths = ["a-b", "a/b", "a", "a/b/c", "a.b", "a/a"]
        .map(|text| FilePath::new(text.as_bytes()).expect("a path"));
    paths.sort_unstable();
    assert_eq!(paths.map(|path| path.to_string()), ["a", "a/a", "a/b", "a/b/c", "a-b", "a.b"]);
}

proptest! {
    #[test]
    fn what_is_a_path_stays_below_a_folder(bytes in proptest::collection::vec(
        prop_oneof![Just(b'/'), Just(b'.'), Just(b'a'), any::<u8>()], 0..40,
    )) {
        if let Ok(path) = FilePath::new(&bytes) {
            let path = path.to_path().expect("on Unix all are allowed");
            let plain = path.components().all(|part| matches!(part, std::path::Component::Normal(_)));
            prop_assert!(plain && path.is_relative());
            let again = FilePath::of(&path).expect("again");
            prop_assert_eq!(again.as_bytes(), &bytes[..]);
        }
    }
}
