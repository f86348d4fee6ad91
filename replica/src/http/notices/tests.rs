use super::*;

#[test]
fn a_notice_goes_with_what_it_is_about() {
    let notices = Notices::default();
    assert!(notices.read().lines.is_empty());
    notices.configuration_rejected(&"a.toml, line 4: no such word");
    notices.configuration_rejected(&"a.toml, line 5: no such word");
    let noted = notices.read();
    let rejected =
        "the new configuration is at fault and does not hold: a.toml, line 5: no such word";
    assert_eq!((noted.lines, noted.rejected_reloads), (vec![rejected.to_owned()], 2));
    notices.configuration_taken(vec!["store", "http"]);
    let noted = notices.read();
    assert_eq!(noted.lines, ["takes a restart to change: store, http"]);
    notices.configuration_taken(Vec::new());
    assert!(notices.read().lines.is_empty());
    assert_eq!(notices.read().rejected_reloads, 2);

    notices.private_keys(1, Some(Path::new("out/a.pem")));
    let one = "a private key lies among the files to publish, and is not: out/a.pem";
    assert_eq!(notices.read().lines, [one]);
    notices.private_keys(2, Some(Path::new("out/a.pem")));
    let two = "2 private keys lie among the files to publish, and are not: out/a.pem is one";
    assert_eq!((&*notices.read().lines, notices.read().private_keys), (&[two.to_owned()][..], 2));
    notices.private_keys(0, None);
    assert!(notices.read().lines.is_empty());
}

#[test]
fn files_that_are_left_out_are_counted_with_an_example() {
    let notices = Notices::default();
    notices.unpublished(1, Some("outbox/a: too large".to_owned()));
    notices.unexported(2, Some("bern/b: its disk is full".to_owned()), None);
    let noted = notices.read();
    assert_eq!(
        noted.lines,
        [
            "a file is not published: outbox/a: too large",
            "2 files are not exported, one of them bern/b: its disk is full",
        ]
    );
    assert_eq!((noted.unpublished, noted.unexported), (1, 2));
    notices.unpublished(0, None);
    notices.unexported(0, None, Some("no such folder".to_owned()));
    assert_eq!(notices.read().lines, ["cannot export: no such folder"]);
}

#[test]
fn lines_of_the_log_are_counted_and_shown() {
    assert_eq!(Notices::new(|| 1).read().lines, ["1 line of the log could not be written"]);
    let noted = Notices::new(|| 7).read();
    assert_eq!(noted.lines, ["7 lines of the log could not be written"]);
    assert_eq!(noted.lost_log_lines, 7);
}
