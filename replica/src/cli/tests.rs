use super::*;

fn parse(line: &[&str]) -> Result<CommandLine, clap::Error> {
    CommandLine::try_parse_from([&["gossip-replica"], line].concat())
}

fn refusal(line: &[&str]) -> String {
    refuse(&parse(line).unwrap_err()).unwrap_err().to_string()
}

#[test]
fn the_command_line_is_consistent() {
    CommandLine::command().debug_assert();
}

#[test]
fn without_a_command_it_is_the_demo() {
    let line = parse(&["--replicas", "7", "--json"]).unwrap();
    assert!(line.command.is_none());
    assert_eq!((line.demo.replicas, line.demo.json), (7, true));
    assert_eq!(line.demo.chunk_size, 131_072);
    assert!(matches!(parse(&["demo", "--json"]).unwrap().command, Some(Command::Demo(_))));
}

#[test]
fn a_refusal_is_one_line_that_names_what_is_wrong() {
    for (line, names) in [
        (&["--replicas", "1"][..], "'--replicas <N>': 1 is not in 2..=64"),
        (&["demo", "--chunk-size", "12"], "12 is not in 1024..=2097152"),
        (&["run"], "--config <FILE>"),
        (&["keygen"], "<FILE>"),
        (&["--folder"], "'--folder'"),
        (&["--json", "run", "--config", "x"], "run"),
    ] {
        let refusal = refusal(line);
        assert!(refusal.contains(names), "{line:?}: {refusal}");
        assert!(!refusal.contains('\n') && !refusal.starts_with("error"), "{refusal}");
    }
}
