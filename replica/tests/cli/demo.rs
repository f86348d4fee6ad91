//! `gossip-replica demo`.

use std::{fs, path::Path};

use serde_json::Value;
use tempfile::TempDir;

use crate::program::{command, output};

/// Names of all kinds; the content of some is the same.
fn fill(folder: &Path) {
    let chunk = 131_072;
    for (path, content) in [
        ("empty", vec![]),
        ("also empty", vec![]),
        ("one byte", vec![1]),
        ("with  spaces/a b c", vec![2; 1000]),
        ("文件/naïve 🦀.bin", vec![3; chunk]),
        ("文件/the same", vec![3; chunk]),
        ("a chunk and a byte", vec![4; chunk + 1]),
        ("quote ' and \" and \\", (0..3_000_000u32).map(|n| (n / 977) as u8).collect()),
        (".hidden", vec![5; 10]),
        (".gitignore", b"target/\n".to_vec()),
        ("target/not published", vec![6; 10]),
        (".git/not published", vec![7; 10]),
    ] {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

#[test]
fn it_verifies_a_folder_and_says_so_in_one_line_of_json() {
    let (folder, scratch) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    fill(folder.path());
    let output = command(["demo", "--json", "--replicas", "3", "--dir"])
        .arg(folder.path())
        .env("TMPDIR", scratch.path())
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), stderr.as_str()), (Some(0), ""));
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert_eq!(stdout.lines().count(), 1, "{stdout}");
    let json: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(json["verified"], true);
    assert_eq!(json["replicas"], 3);
    assert_eq!(json["files"], 10);
    assert_eq!(json["artifacts"], 8);
    assert_eq!(json["skipped"], 0);
    assert_eq!(json["bytes"], 1 + 1000 + 131_072 + 131_073 + 3_000_000 + 10 + 8);
    for flow in ["Advert", "Request", "Chunk", "Transport", "Broadcast"] {
        assert!(json["flows"][flow]["handled"].as_u64().unwrap() > 0, "{flow}: {stdout}");
    }
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn without_arguments_it_publishes_the_folder_it_is_run_in() {
    let folder = TempDir::new().unwrap();
    fill(folder.path());
    let output = command([""; 0]).current_dir(folder.path()).output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{stdout}");
    let last = stdout.lines().last().unwrap();
    assert_eq!(last, "verified: 4 replicas hold 8 artifacts, every file compared byte for byte");
    assert!(stdout.lines().all(|line| line.chars().count() <= 100), "{stdout}");
    assert!(output.stderr.is_empty(), "no progress bar where there is no terminal");
}

#[test]
fn a_small_chunk_size_cuts_more_chunks() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("file"), vec![1; 100 << 10]).unwrap();
    let output = output([
        "demo".as_ref(),
        "--json".as_ref(),
        "--replicas=2".as_ref(),
        "--chunk-size=1024".as_ref(),
        "--dir".as_ref(),
        folder.path().as_os_str(),
    ]);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(json["flows"]["Chunk"]["handled"].as_u64().unwrap() >= 100);
}

#[cfg(unix)]
#[test]
fn an_interrupted_one_leaves_nothing_behind() {
    use crate::program::{Running, until};

    let (folder, scratch) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    for number in 0..50u8 {
        fs::write(folder.path().join(number.to_string()), vec![number; 500_000]).unwrap();
    }
    let entries = || fs::read_dir(scratch.path()).unwrap().count();
    let mut running =
        Running::start(command(["demo", "--dir"]).arg(folder.path()).env("TMPDIR", scratch.path()));
    until("the stores are made", || entries() > 0);
    running.signal("INT");
    // On a busy machine it may have been done before it heard of the signal.
    let status = running.end().code();
    assert!(matches!(status, Some(0 | 130)), "{status:?}");
    assert_eq!(entries(), 0);
}
