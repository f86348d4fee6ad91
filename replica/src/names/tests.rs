use super::*;

fn id(digits: &str) -> NodeId {
    format!("{digits:0<64}").parse().expect("an id")
}

fn names(list: &[(&str, Option<&str>)]) -> Names {
    let names = Names::default();
    names.set(
        list.iter()
            .map(|(digits, name)| (id(digits), name.map(|name| name.parse().expect("a name")))),
    );
    names
}

#[test]
fn a_name_is_safe_as_a_folder_and_on_a_command_line() {
    for good in ["a", "replica-1", "0", "beef", "x-", &"a".repeat(32)] {
        assert_eq!(good.parse::<PeerName>().expect("a name").as_str(), good);
    }
    for bad in ["", "-rf", "A", "a b", "a/b", "..", "ä", "a\u{1b}", "a_b", &"a".repeat(33)] {
        assert_eq!(bad.parse::<PeerName>(), Err(NameError), "{bad:?}");
    }
}

#[test]
fn without_a_name_it_is_the_beginning_of_the_id() {
    let names = names(&[("1234", Some("alice")), ("5678", None)]);
    assert_eq!(names.publisher_name(id("1234")), "alice");
    assert_eq!(names.publisher_name(id("5678")), "5678000000000000");
    assert_eq!(names.publisher_name(id("9abc")), "9abc000000000000", "it is not on the list");
    assert_eq!(names.given_name(id("1234")).as_deref(), Some("alice"));
    assert_eq!(names.given_name(id("5678")), None);
}

#[test]
fn no_two_are_called_the_same() {
    // A name that looks as another one's id, and two ids that begin in the same way.
    let list = [
        ("1", Some("5678000000000000")),
        ("5678", None),
        ("9abc", None),
        ("9abc0000000000001", None),
    ];
    let names = names(&list);
    let called: BTreeSet<String> =
        list.iter().map(|(digits, _)| names.publisher_name(id(digits))).collect();
    assert_eq!(called.len(), list.len(), "{called:?}");
    assert_eq!(names.publisher_name(id("5678")), format!("{:x}", id("5678")));
    for (digits, _) in list {
        let word = names.publisher_name(id(digits));
        assert_eq!(names.find(&word, []), Ok(id(digits)));
    }
}

#[test]
fn a_word_is_a_name_or_the_beginning_of_an_id() {
    let names = names(&[("beef", None), ("cafe", Some("beef1")), ("1234", Some("alice"))]);
    for (word, found) in [("alice", "1234"), ("1234", "1234"), ("BEEF", "beef"), ("cafe00", "cafe")]
    {
        assert_eq!(names.find(word, []), Ok(id(found)), "{word}");
    }
    assert_eq!(names.find(&format!("{:x}", id("beef")), []), Ok(id("beef")));
    // A publisher that is on no list.
    assert_eq!(names.find("7777", [id("7777")]), Ok(id("7777")));
    for unknown in ["bob", "7777", "al"] {
        assert_eq!(names.find(unknown, []), Err(FindError::Unknown(unknown.to_owned())));
    }
    let long = "0".repeat(65);
    for bad in ["", "-rf", "Alice", "ali ce", "..", &long] {
        assert_eq!(names.find(bad, []), Err(FindError::NoWord(bad.to_owned())));
    }
    // Fewer digits than four are no id, but may be a name.
    assert_eq!(names.find("bee", []), Err(FindError::Unknown("bee".to_owned())));
}

#[test]
fn a_name_counts_before_an_id_that_begins_with_it() {
    let list = [("beef01", None), ("cafe", Some("beef"))];
    assert_eq!(names(&list).find("beef", []), Ok(id("cafe")));
    assert_eq!(names(&list).find("beef0", []), Ok(id("beef01")));
}

#[test]
fn a_beginning_of_several_ids_is_refused_with_them() {
    let names = names(&[("beef01", None), ("beef02", Some("bob"))]);
    let fault = names.find("beef", [id("beef03"), id("beef01")]).expect_err("it is ambiguous");
    assert!(matches!(&fault, FindError::Ambiguous { ids, .. } if ids.len() == 3), "{fault}");
    assert!(fault.to_string().contains(&format!("{:x}", id("beef03"))), "{fault}");
    assert_eq!(names.find("beef02", []), Ok(id("beef02")));
}
