//! Pictures, as a terminal shows them.

use gossip_replica::http::status::Status;
use ratatui::{Terminal, backend::TestBackend, buffer::Buffer, text::Span};
use serde_json::{Value, json};

use super::{view::Command, *};
use crate::status::sections;

/// A replica of four that are called by names, while a fifth publishes 500 files.
fn scene() -> Value {
    // It began 22 seconds ago.
    let history = |rate: u64| -> Vec<u64> {
        let second = |ago: u64| if ago > 22 { 300 } else { rate * (20 - ago * 7 % 8) / 20 };
        (0..120).rev().map(second).collect()
    };
    let peer = |name: &str, number: u64, in_rate: u64, out_rate: u64| {
        json!({"id": format!("{number:064x}"), "name": name, "state": "connected", "since": 880,
            "address": format!("10.0.0.{number}:4100"), "in_rate": in_rate, "out_rate": out_rate,
            "round_trip": 0.0118 * number as f64})
    };
    let fetch = |path: &str, size: u64, received: u64, rate: u64, left: f64| {
        json!({"id": "77aa", "label": format!("berlin/{path}"), "size": size, "received": received,
            "rate": rate, "left": left, "peers": 3})
    };
    let flow = |name: &str, in_flight: u64, max: u64, rate: u64, p50: f64, p99: f64| {
        json!({"name": name, "in_flight": in_flight, "max_inflight": max, "rate": rate,
            "overload": in_flight * 100 / max, "wait_p50": p50, "wait_p99": p99})
    };
    json!({
        "version": "0.1.0", "now": 1000, "started": 820,
        "replicas": [{"number": 1}],
        "replica": {
            "number": 1, "id": "3b6a27bcceb6a42d", "name": "tokyo", "listen": "[::]:4100",
            "readiness": {"peers": 4, "connected": 3, "missing_artifacts": 188,
                "missing_bytes": 512_000_000, "reasons": ["188 artifacts known and not held (512 MB)"]},
            "traffic": {"in_rate": 31_400_000, "out_rate": 12_600_000,
                "in_history": history(31_400_000), "out_history": history(12_600_000)},
            "store": {"artifacts": 316, "bytes": 861_000_000, "free_bytes": 40_300_000_000u64},
            "peers": [
                peer("berlin", 1, 11_200_000, 700_000),
                peer("lima", 2, 12_900_000, 5_100_000),
                peer("an-archive-with-a-rather-long-nam", 3, 7_300_000, 6_800_000),
                {"id": "ff", "name": "oslo", "state": "connecting", "away_since": 910,
                    "address": "10.0.0.4:4100", "last_error": "timed out"},
            ],
            "folders": [
                {"name": "tokyo", "sequence": 1, "files": 4, "bytes": 12_000, "peers_complete": 3,
                    "peers_silent": 1},
                {"name": "berlin", "sequence": 3, "files": 500, "bytes": 1_373_000_000,
                    "missing_files": 188, "missing_bytes": 512_000_000, "arriving_bytes": 14_000_000,
                    "missing_since": 978, "rate": 29_800_000, "left": 17, "peers_complete": 1, "peers_behind": 2,
                    "peers_silent": 1},
            ],
            "downloads": [
                fetch("maps/europe/2026/tiles-of-the-northern-coast.bin", 8_400_000, 6_132_000, 9_100_000, 0.2),
                fetch("maps/europe/2026/tiles-of-the-southern-coast.bin", 8_400_000, 3_100_000, 8_700_000, 0.6),
                fetch("photos/0431.jpg", 4_100_000, 1_900_000, 6_200_000, 0.4),
                {"id": "5f5e100ab3", "size": 4_000_000, "peers": 1},
            ],
            "flows": [
                flow("Advert", 2, 100_000, 140, 0.000_061, 0.000_9),
                flow("Request", 1, 100, 180, 0.000_048, 0.000_7),
                flow("Chunk", 31, 100, 240, 0.000_35, 0.012),
            ],
            "refusals": [{"what": "connections of peers that are on no list", "total": 7, "lately": 2}],
        }
    })
}

/// Texts that would do something to a terminal, and figures that nobody could hold.
fn hostile() -> Value {
    let text = "\u{1b}[2J\u{1b}]0;title\u{7}\r\n\t文件\u{9b}1m\u{301}\u{7f}👩‍👩‍👧";
    let many = u64::MAX;
    json!({
        "version": text, "now": -1e300, "started": 1e300, "notices": [text],
        "replicas": [{}, {}],
        "replica": {
            "number": many, "id": text, "name": text, "listen": text, "faults": [text],
            "readiness": {"reasons": [text, text], "missing_artifacts": many, "peers": 1_000_000},
            "traffic": {"in_rate": many, "in_history": vec![many; 1000], "out_history": [0, many]},
            "store": {"artifacts": many, "bytes": many, "free_bytes": many},
            "peers": vec![json!({"id": text, "state": text, "address": text, "last_error": text,
                "in_rate": many, "round_trip": -1.0, "since": -1e308}); 50],
            "folders": [{"name": text, "missing_files": many, "missing_bytes": many, "files": 1,
                "arriving_bytes": many, "peers_complete": many, "peers_silent": many, "left": 1e300,
                "missing_since": 1e300}],
            "downloads": [{"id": text}, {"label": text, "received": many, "size": 1, "left": -1.0}],
            "flows": [{"name": text, "in_flight": many, "overload": 255, "advice": text}],
            "refusals": [{"what": text, "total": many, "lately": many}],
        }
    })
}

fn view(status: Value) -> (View, Instant) {
    let now = Instant::now();
    let mut view = View::new("127.0.0.1:4180".to_owned());
    view.answered(Ok(serde_json::from_value::<Status>(status).unwrap()), now);
    (view, now)
}

fn buffer(view: &View, now: Instant, (width, height): (u16, u16)) -> (Buffer, usize) {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let mut hidden = 0;
    let drawn = terminal.draw(|frame| {
        let area = frame.area();
        hidden = draw(view, now, area, frame.buffer_mut());
    });
    (drawn.unwrap().buffer.clone(), hidden)
}

/// The lines of a picture, without spaces at their ends.
fn lines(buffer: &Buffer) -> Vec<String> {
    let rows = buffer.content.chunks(usize::from(buffer.area.width).max(1));
    let line = |row: &[ratatui::buffer::Cell]| {
        let (mut line, mut covered) = (String::new(), 0);
        for cell in row {
            if covered == 0 {
                line.push_str(cell.symbol());
                covered = Span::raw(cell.symbol()).width();
            }
            covered = covered.saturating_sub(1);
        }
        line.trim_end().to_owned()
    };
    rows.map(line).collect()
}

fn picture(status: Value, size: (u16, u16)) -> Vec<String> {
    let (view, now) = view(status);
    lines(&buffer(&view, now, size).0)
}

/// `replica/docs/top.md`; with `GOSSIP_REFERENCE_ACCEPT` in the environment its picture is drawn anew.
#[test]
fn the_picture_is_in_the_documents() {
    const FENCES: [&str; 2] = ["```text\n", "\n```\n"];
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/top.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (before, rest) = text.split_once(FENCES[0]).unwrap();
    let (_, after) = rest.split_once(FENCES[1]).unwrap();
    let drawn = picture(scene(), (100, 24)).join("\n");
    let drawn = [before, FENCES[0], &drawn, FENCES[1], after].concat();
    if std::env::var_os("GOSSIP_REFERENCE_ACCEPT").is_some() {
        std::fs::write(path, &drawn).unwrap();
    }
    let is_there = std::fs::read_to_string(path).unwrap() == drawn;
    assert!(is_there, "{path} shows another picture: set GOSSIP_REFERENCE_ACCEPT=1 and test again");
}

#[test]
fn a_small_terminal_has_what_matters_most() {
    for (size, shown) in [
        (
            (80, 24),
            &[
                "tokyo  behind, 3 of 4 peers connected  3b6a27bc",
                "listens on [::]:4100, up 3 min",
                "in 31 MB/s ",
                " out 13 MB/s ",
                "! 188 artifacts known and not held (512 MB)",
                "berlin ",
                " 63 %  188 (512 MB) ",
                "30 MB/s  17 s",
                "berlin/maps…he-northern-coast.bin",
                "oslo ",
                "connecting",
                "Chunk ",
                "31 of 100",
                "connections of peers that are on no list",
                "q quit",
            ][..],
        ),
        (
            (40, 10),
            &[
                "tokyo  behind, 3 of 4 peers connected",
                "in 31 MB/s",
                "! 188 artifacts known",
                "berlin ",
                " 63 % ",
                "17 s",
                "q quit",
                "more below",
            ],
        ),
        ((20, 3), &["tokyo  behind", "in 31 MB/s"]),
    ] {
        let lines = picture(scene(), size);
        for shown in shown {
            assert!(lines.iter().any(|line| line.contains(shown)), "{shown}: {lines:#?}");
        }
        assert_eq!(lines.len(), usize::from(size.1));
    }
}

/// The first of the lines that are scrolled, whatever the terminal shows of them.
#[test]
fn all_lines_can_be_scrolled_to() {
    let (mut view, now) = view(scene());
    let (_, hidden) = buffer(&view, now, (40, 10));
    assert!(hidden > 0);
    view.scroll = usize::MAX;
    let (last, still_hidden) = buffer(&view, now, (40, 10));
    assert_eq!(still_hidden, hidden);
    let last = lines(&last);
    assert!(last[8].ends_with("on no list            2       7"), "{last:#?}");
    assert!(!last[9].contains("more below"), "{last:#?}");
    let of_peers = |view: &View| {
        let (drawn, _) = buffer(view, now, (80, 200));
        lines(&drawn).iter().filter(|line| line.contains("  connected  ")).count()
    };
    assert_eq!(of_peers(&view), 3);
    view.scroll = 0;
    let cut = |view: &View| lines(&buffer(view, now, (80, 15)).0).join("\n").contains("… and ");
    assert!(cut(&view));
    view.obey(Command::All);
    assert!(!cut(&view));
    view.obey(Command::Help);
    let help = lines(&buffer(&view, now, (40, 30)).0);
    assert!(help.iter().any(|line| line.contains("PgUp PgDn")), "{help:#?}");
    assert!(help.iter().all(|line| !line.contains("FOLDER")), "{help:#?}");
}

#[test]
fn nothing_reaches_the_terminal_but_text() {
    for status in [hostile(), json!({}), scene()] {
        let (mut view, now) = view(status);
        // The buffer would leave out what is no text. What is escaped can be seen.
        let (status, _) = view.seen.as_ref().unwrap();
        for cell in sections(status).iter().flat_map(|of| &of.rows).flat_map(|row| &row.cells) {
            assert!(!cell.contains(char::is_control), "{cell:?}");
        }
        view.fault = Some("\u{1b}c".to_owned());
        let of_fault = lines(&buffer(&view, now, (80, 24)).0).remove(1);
        assert!(of_fault.ends_with("\\u{1b}c"), "{of_fault}");
        for is_all in [false, true] {
            view.is_all = is_all;
            for size in [(0, 0), (1, 1), (2, 9), (7, 3), (40, 10), (80, 24), (200, 300)] {
                let (drawn, _) = buffer(&view, now, size);
                for cell in &drawn.content {
                    assert!(!cell.symbol().contains(char::is_control), "{size:?}: {cell:?}");
                }
                let widest = lines(&drawn).iter().map(|line| Span::raw(line).width()).max();
                assert!(widest.unwrap_or(0) <= usize::from(size.0), "{size:?}");
            }
        }
    }
}

#[test]
fn one_that_does_not_answer_is_shown_with_its_age_and_why() {
    let (mut view, now) = view(scene());
    let later = now + Duration::from_secs(12);
    let second = |view: &View, now| lines(&buffer(view, now, (80, 24)).0).remove(1);
    assert!(second(&view, now).starts_with("listens"));
    assert_eq!(second(&view, later), "as of 12 s ago: no answer yet");
    view.answered(Err("cannot ask it: refused".to_owned()), later);
    assert_eq!(second(&view, later), "as of 12 s ago: cannot ask it: refused");
    let first = lines(&buffer(&view, later, (80, 24)).0).remove(0);
    assert!(first.starts_with("tokyo"), "{first}");
    let mut view = View::new("127.0.0.1:4180".to_owned());
    assert_eq!(lines(&buffer(&view, now, (80, 24)).0)[0], "asking 127.0.0.1:4180");
    view.answered(Err("refused".to_owned()), now);
    assert_eq!(second(&view, now), "refused");
}

#[test]
fn a_demo_says_which_replica_it_is() {
    let mut demo = scene();
    demo["replicas"] = json!([{"number": 1}, {"number": 2}]);
    demo["replica"]["number"] = json!(2);
    let lines = picture(demo, (80, 24));
    assert!(lines[0].starts_with("2/2 tokyo  behind"), "{lines:#?}");
    assert!(lines[23].contains("←→ replica"), "{lines:#?}");
    let one = picture(scene(), (80, 24));
    assert!(!one[23].contains("replica"), "{one:#?}");
}
