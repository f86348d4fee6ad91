//! `gossip-replica init`: a cluster from nothing, and what is in the way of it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program::{Running, command, output};

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// `init` in a folder of the test's.
fn init(home: &Path, arguments: &[&str]) -> Output {
    command(["init"]).args(arguments).current_dir(home).output().unwrap()
}

#[track_caller]
fn done(home: &Path, arguments: &[&str]) -> String {
    let output = init(home, arguments);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), stderr.as_str()), (Some(0), ""));
    String::from_utf8(output.stdout).unwrap()
}

/// All that lies in a folder: files with their content, folders without.
fn tree(folder: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut tree = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tree.extend(self::tree(&path));
            tree.insert(path, None);
        } else {
            let content = fs::read(&path).unwrap();
            tree.insert(path, Some(content));
        }
    }
    tree
}

#[test]
fn a_second_one_changes_nothing_and_says_so() {
    let home = TempDir::new().unwrap();
    for more in [&[][..], &["--publish", "--http=4180", "--listen=0.0.0.0:4100"]] {
        let folder = format!("a/b{}", more.len());
        let address = format!("--address=host-{}:4100", more.len());
        let arguments = [&[&folder, "--peers", "peers.toml", &address], more].concat();
        let first = done(home.path(), &arguments);
        assert!(first.contains("made a/b"), "{first}");
        assert!(first.contains("entered into peers.toml: "), "{first}");
        let made = tree(home.path());
        let second = done(home.path(), &arguments);
        assert!(second.starts_with("nothing to do: a/b"), "{second}");
        assert_eq!(second.lines().skip(1).collect::<Vec<_>>(), {
            let lines: Vec<&str> = first.lines().collect();
            lines[lines.len() - 3..].to_vec()
        });
        assert_eq!(tree(home.path()), made);
        let check = command(["run", "--check", "--config"])
            .arg(home.path().join(&folder).join("replica.toml"))
            .output()
            .unwrap();
        assert_eq!(check.status.code(), Some(0), "{}", String::from_utf8_lossy(&check.stderr));
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt as _;

            let mode = |name: &str| fs::metadata(home.path().join(name)).unwrap().mode() & 0o777;
            assert_eq!(mode(&format!("{folder}/replica.key")), 0o600);
            assert_eq!(mode("peers.toml") & 0o444, 0o444, "other machines' users read it");
        }
    }
}

#[test]
fn a_script_reads_what_was_made() {
    let home = TempDir::new().unwrap();
    let read = |arguments: &[&str]| -> Value {
        let line = done(home.path(), arguments);
        assert_eq!(line.lines().count(), 1, "{line}");
        serde_json::from_str(&line).unwrap()
    };
    let arguments = ["r", "--peers=peers.toml", "--address=a:1", "--json"];
    let made = read(&arguments);
    let key = home.path().join("r/replica.key");
    let id = output(["id", "--json", key.to_str().unwrap()]).stdout;
    let id = serde_json::from_slice::<Value>(&id).unwrap()["id"].clone();
    let expected = |made: &[&str], entered| {
        json!({"id": id, "address": "a:1", "config": "r/replica.toml", "peers": "peers.toml", "made": made,
            "entered": entered})
    };
    let all = ["r", "r/replica.key", "r/store", "r/inbox", "r/replica.toml"];
    assert_eq!(made, expected(&all, true));
    assert_eq!(read(&arguments), expected(&[], false));
    let other = home.path().join("key");
    let new = output(["keygen", "--json", other.to_str().unwrap()]).stdout;
    let new: Value = serde_json::from_slice(&new).unwrap();
    assert!(new["id"] != id && new["id"].as_str().is_some_and(|id| id.len() == 64), "{new}");
}

#[test]
fn what_is_missing_is_made_and_what_has_moved_is_updated() {
    let home = TempDir::new().unwrap();
    let others = format!("# ours\n[[peers]] # the first\nkey = '{KEY}'\naddress = 'a:1' # north\n");
    let peers = home.path().join("peers.toml");
    fs::write(&peers, &others).unwrap();
    let first = done(home.path(), &["r", "--peers", "peers.toml", "--address=b:1", "--publish"]);
    let text = fs::read_to_string(&peers).unwrap();
    let (before, own) = text.split_at(others.len());
    assert_eq!(before, others);
    assert!(own.ends_with("address = \"b:1\"\n"), "{own}");
    fs::write(&peers, format!("{text}# the end\n")).unwrap();

    let made = tree(home.path());
    for folder in ["r/store", "r/inbox", "r/outbox"] {
        fs::remove_dir(home.path().join(folder)).unwrap();
        let again = done(home.path(), &["r", "--peers", "./r/../peers.toml", "--address=b:1"]);
        assert!(again.starts_with(&format!("made {folder}\nid: ")), "{again}");
        assert_eq!(tree(home.path()), made);
    }

    let moved = done(home.path(), &["r", "--peers", "peers.toml", "--address=[::1]:2"]);
    assert!(moved.starts_with("entered into peers.toml: "), "{moved}");
    assert_eq!(moved.lines().nth(1), first.lines().find(|line| line.starts_with("id: ")));
    let text = fs::read_to_string(&peers).unwrap();
    assert_eq!(text, format!("{others}{}# the end\n", own.replace("b:1", "[::1]:2")));
}

#[test]
fn what_is_in_the_way_is_said_and_nothing_is_half_made() {
    let home = TempDir::new().unwrap();
    let path = |name: &str| home.path().join(name);
    fs::write(path("file"), "").unwrap();
    fs::write(path("bad.toml"), "\n[[peers]]\nkey = 1\n").unwrap();
    let same = format!("[[peers]]\nkey = '{KEY}'\naddress = 'a:1'\n");
    fs::write(path("same.toml"), same).unwrap();
    for (folder, name, content) in [
        ("badkey", "replica.key", "no key"),
        ("badconfig", "replica.toml", "listen = 'a:1'\nstroe = 's'\n"),
        ("badstore", "store", ""),
    ] {
        fs::create_dir(path(folder)).unwrap();
        fs::write(path(folder).join(name), content).unwrap();
    }
    done(home.path(), &["there", "--peers=peers.toml", "--listen=127.0.0.1:5", "--address=t:5"]);
    let before = tree(home.path());
    let at = "--address=a:1";
    for (arguments, status, names) in [
        (&["file", "--peers=p.toml", at][..], 1, &["file is no folder"][..]),
        (&["file/r", "--peers=p.toml", at], 1, &["cannot make file/r: Not a directory"]),
        (&["new/r", "--peers=nowhere/p.toml", at], 1, &["nowhere", "No such file"]),
        (&["new/r", "--peers=new", at], 2, &["new is no file of peers"]),
        (&["new/r", "--peers=bad.toml", at], 2, &["bad.toml, line 3: key is 1"]),
        (&["new/r", "--peers=same.toml", at], 2, &["same.toml, with ", "said to listen on a:1"]),
        (&["new/r", "--peers=new/r/replica.key", at], 2, &["replica.key, which is another file"]),
        (&["new/r", "--peers=new/r/replica.toml", at], 2, &["which is another file"]),
        (&["badkey", "--peers=p.toml", at], 1, &["badkey/replica.key is no key file"]),
        (&["badconfig", "--peers=p.toml", at], 2, &["badconfig/replica.toml, line 2", "`stroe`"]),
        (&["badstore", "--peers=p.toml", at], 1, &["badstore/store is no folder"]),
        (
            &["there", "--peers=p.toml", at],
            2,
            &["replica.toml, line ", "peers_file is not", "p.toml"],
        ),
        (&["there", "--peers=peers.toml", at, "--listen=[::]:5"], 2, &["listen is not \"[::]:5\""]),
        (&["there", "--peers=peers.toml", at, "--http=1"], 2, &["http is not \"127.0.0.1:1\""]),
        (&["there", "--peers=peers.toml", at, "--publish"], 2, &["publish is not \"outbox\""]),
        (&["new", "--peers=p.toml"], 2, &["say --address, --listen or both"]),
        (&["new", "--peers=p.toml", "--listen=0.0.0.0:1"], 2, &["0.0.0.0:1", "say --address"]),
        (&["new", "--peers=p.toml", "--listen=x"], 2, &["--listen", "no port"]),
        (
            &["new", "--peers=p.toml", "--address=[::]:1"],
            2,
            &["--address", "no peer can be reached"],
        ),
        (&["new", at], 2, &["--peers <FILE>"]),
    ] {
        let output = init(home.path(), arguments);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {stderr}");
        assert!(stderr.starts_with("error: ") && stderr.lines().count() == 1, "{stderr}");
        for name in names {
            assert!(stderr.contains(name), "{name:?} is not in {stderr}");
        }
        assert!(output.stdout.is_empty());
        assert_eq!(tree(home.path()), before, "{arguments:?}");
    }
}

/// As where the machines of a cluster are made all at once, with one file between them.
#[cfg(unix)]
#[test]
fn several_at_a_time_lose_no_entry() {
    const MANY: usize = 12;
    let home = TempDir::new().unwrap();
    let start = |number: usize| {
        let address = format!("--address=127.0.0.1:{}", 4100 + number);
        let mut command = command(["init", &format!("r{number}"), "--peers=peers.toml", &address]);
        Running::start(command.current_dir(home.path()))
    };
    let running: Vec<Running> = (0..MANY).map(start).collect();
    for mut init in running {
        assert_eq!(init.end().code(), Some(0));
    }
    let text = fs::read_to_string(home.path().join("peers.toml")).unwrap();
    assert_eq!(text.matches("[[peers]]").count(), MANY);
    let config = home.path().join("r0/replica.toml");
    let checked = output(["run", "--check", "--config", config.to_str().unwrap()]);
    let checked = String::from_utf8(checked.stdout).unwrap();
    assert!(checked.ends_with(&format!(" peers={}\n", MANY - 1)), "{checked}");
}
