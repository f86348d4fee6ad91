//! `gossip-replica generate`: what a package has beside the program.

use std::{collections::BTreeSet, fs, process::Command};

use tempfile::TempDir;

use crate::program::output;

#[test]
fn pages_and_completions_are_written() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path().join("new/folder");
    let output = output(["generate".as_ref(), folder.as_os_str()]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let entries = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name());
    let names: BTreeSet<String> = entries.map(|name| name.into_string().unwrap()).collect();
    let commands =
        ["", "-demo", "-init", "-keygen", "-id", "-run", "-status", "-top", "-ls", "-get"];
    let pages = commands.map(|command| format!("gossip-replica{command}.1"));
    let completions = ["gossip-replica.bash", "gossip-replica.fish", "_gossip-replica"];
    let expected = pages.into_iter().chain(completions.map(str::to_owned));
    assert_eq!(names, expected.collect());
    for name in &names {
        let text = fs::read_to_string(folder.join(name)).unwrap();
        assert!(text.contains("log-format") || name.ends_with(".1"), "{name}");
        assert!(!text.contains("replica.key\""), "{name}: a configuration is not for this");
    }
    // Where there is no bash, nobody has a use for the file.
    let words = "COMP_WORDS=(gossip-replica run --lo); COMP_CWORD=2; _gossip__replica gossip-replica --lo run";
    let script = format!("source \"$0\" && {words} && echo \"${{COMPREPLY[@]}}\"");
    let completed =
        Command::new("bash").args(["-c", &script]).arg(folder.join(completions[0])).output();
    if let Ok(completed) = completed {
        let said = [completed.stdout, completed.stderr].concat();
        assert_eq!(String::from_utf8_lossy(&said), "--log --log-format\n");
    }
}
