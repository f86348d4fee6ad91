use super::*;

fn section(rows: usize) -> Section {
    let columns = vec![
        Column { name: "NAME", kind: Kind::Text, rank: 0 },
        Column { name: "", kind: Kind::Bar, rank: 2 },
        Column { name: "HERE", kind: Kind::Number, rank: 0 },
        Column { name: "SIZE", kind: Kind::Number, rank: 1 },
        Column { name: "", kind: Kind::Text, rank: 3 },
    ];
    let row = |number: usize| {
        let cells = ["a name that is long", "", "50 %", "17 kB", ""].map(str::to_owned).into();
        Row { cells, tone: Tone::Good, here: Some(number as u64 % 101) }
    };
    Section { columns, rows: (0..rows).map(row).collect() }
}

fn texts(section: &Section, width: usize, rows: usize) -> Vec<String> {
    lines(section, width, rows).iter().map(ToString::to_string).collect()
}

#[test]
fn columns_go_by_their_rank() {
    let mut one = section(1);
    one.rows[0].here = Some(50);
    for (width, header, row) in [
        (60, "NAME HERE SIZE", "a name that is long  ━━━━━━━━━━━━────────────  50 %  17 kB"),
        (45, "NAME HERE SIZE", "a name that is long  ━━━━━──────  50 %  17 kB"),
        (40, "NAME HERE SIZE", "a nam…hat is long  ━━━━────  50 %  17 kB"),
        (30, "NAME HERE SIZE", "a nam…hat is long  50 %  17 kB"),
        (22, "NAME HERE", "a nam…at is long  50 %"),
        // It has to be cut by the terminal: these two stay.
        (3, "NAME HERE", "a nam…at is long  50 %"),
    ] {
        let texts = texts(&one, width, 9);
        let names = texts[0].split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!((names.as_str(), texts[1].as_str()), (header, row), "{width}");
        assert_eq!(columns_of(&texts[0]), columns_of(&texts[1]));
    }
}

#[test]
fn rows_that_do_not_fit_are_counted() {
    let many = section(10);
    assert_eq!(texts(&many, 80, 10).len(), 11);
    let some = texts(&many, 80, 4);
    assert_eq!((some.len(), some[4].as_str()), (5, "… and 7 more"));
    let tables = [section(10), section(2)];
    assert_eq!(fair_rows(&tables, 100), 100, "all fit");
    assert_eq!(fair_rows(&tables, 14), 14);
    assert_eq!(fair_rows(&tables, 9), 5, "a header each, two rows, and five");
    assert_eq!(fair_rows(&tables, 3), MIN_ROWS);
}

#[test]
fn a_bar_is_full_only_if_all_is_here() {
    for (here, full) in [(0, 0), (9, 0), (50, 5), (99, 9), (100, 10), (u64::MAX, 10)] {
        assert_eq!(bar(here, 10), "━".repeat(full) + &"─".repeat(10 - full));
    }
}

#[test]
fn what_is_cut_keeps_whole_characters() {
    assert_eq!(cut("abcdef", 6), "abcdef");
    assert_eq!(cut("abcdef", 5), "abcd…");
    assert_eq!(cut("文件文件", 6), "文件…");
    assert_eq!(cut("文件文件", 5), "文件…");
    assert_eq!(cut("文件文件", 4), "文…");
    assert_eq!(cut("abc", 0), "…");
    assert_eq!(left("pictures/2026/sea.jpg", 12), "pict…sea.jpg");
    assert_eq!(left("ab", 4), "ab  ");
    // An e and an accent of its own are one.
    assert_eq!(cut("e\u{301}e\u{301}e\u{301}", 2), "e\u{301}…");
}
