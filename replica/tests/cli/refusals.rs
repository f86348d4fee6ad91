//! Whatever is wrong is one line on standard error that names it, and a status.

use std::{
    fs::{self, File},
    net::UdpSocket,
    path::Path,
    process::Command,
};

#[cfg(unix)]
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program::{Running, command, output};

/// The program ends with this status, prints nothing, and complains in one line that contains all this.
#[track_caller]
fn assert_refused(arguments: &[&str], status: i32, names: &[&str]) {
    let output = output(arguments);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {stderr}");
    assert!(output.stdout.is_empty(), "{arguments:?}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.starts_with("error: "), "{stderr}");
    for name in names {
        assert!(stderr.contains(name), "{name:?} is not in {stderr}");
    }
}

#[test]
fn of_the_command_line() {
    assert_refused(&["--replicas", "1"], 2, &["--replicas", "2..=64"]);
    assert_refused(&["demo", "--replicas", "x"], 2, &["--replicas", "'x'"]);
    assert_refused(&["demo", "--chunk-size", "1023"], 2, &["--chunk-size", "1024..=2097152"]);
    assert_refused(&["demo", "--chunk-size", "2097153"], 2, &["--chunk-size"]);
    assert_refused(&["dance"], 2, &["'dance'"]);
    assert_refused(&["run"], 2, &["--config"]);
    assert_refused(&["keygen"], 2, &["FILE"]);
    assert_refused(&["demo", "--log", "a=b=c"], 2, &["--log", "a=b=c"]);
}

#[test]
fn of_a_folder_to_show() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().to_str().unwrap();
    assert_refused(&["--dir", path], 1, &["nothing to publish", path]);
    let missing = folder.path().join("missing\nfolder");
    assert_refused(&["--dir", missing.to_str().unwrap()], 1, &["missing\\nfolder", "No such file"]);

    let file = folder.path().join("huge");
    File::create(&file).unwrap().set_len(64 << 20 | 1).unwrap();
    let huge = file.to_str().unwrap();
    assert_refused(
        &["--dir", path, "--chunk-size", "1024"],
        1,
        &[huge, "67108865 bytes", "67108864", "--chunk-size"],
    );
    assert_refused(&["--dir", huge], 1, &[huge, "Not a directory"]);
}

#[test]
fn of_a_disk_that_is_too_small() {
    let folder = TempDir::new().unwrap();
    // Sparse: 64 copies of 64 such files are 0.5 PiB.
    for number in 0..64 {
        let file = File::create(folder.path().join(number.to_string())).unwrap();
        file.set_len(127 << 30).unwrap();
    }
    let path = folder.path().to_str().unwrap();
    let arguments = ["--replicas", "64", "--chunk-size", "2097152", "--dir", path];
    assert_refused(&arguments, 1, &["64 copies", path, "TMPDIR"]);
}

#[cfg(unix)]
#[test]
fn of_a_file_that_cannot_be_read() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = TempDir::new().unwrap();
    let file = folder.path().join("locked");
    fs::write(&file, "secret").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
    // Root reads everything.
    if File::open(&file).is_err() {
        let path = folder.path().to_str().unwrap();
        assert_refused(&["--dir", path], 1, &[file.to_str().unwrap(), "denied"]);
    }
}

#[test]
fn of_keys() {
    let folder = TempDir::new().unwrap();
    let key = folder.path().join("key");
    let path = key.to_str().unwrap();
    let made = output(["keygen", path]);
    assert_eq!(made.status.code(), Some(0));
    let id = String::from_utf8(made.stdout).unwrap();
    assert_eq!(id.trim_end().len(), 64);
    assert_refused(&["keygen", path], 1, &[path, "exists already"]);
    let nowhere = folder.path().join("no folder/key");
    assert_refused(&["keygen", nowhere.to_str().unwrap()], 1, &["no folder/key"]);
    let again = output(["id", path]);
    assert_eq!((again.status.code(), String::from_utf8(again.stdout).unwrap()), (Some(0), id));
    assert_refused(&["id", nowhere.to_str().unwrap()], 1, &["no folder/key"]);
}

/// A folder with a key, and a configuration in it.
struct Configured(TempDir);

impl Configured {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let key = folder.path().join("key");
        assert!(output(["keygen", key.to_str().unwrap()]).status.success());
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn config(&self, text: &str) -> String {
        let path = self.path().join("config.toml");
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    #[track_caller]
    fn assert_refused(&self, text: &str, status: i32, names: &[&str]) {
        let config = self.config(text);
        assert_refused(&["run", "--log", "off", "--config", &config], status, names);
    }
}

const GOOD: &str = "listen = '127.0.0.1:0'\nkey_file = 'key'\nstore = 'store'\npeers = []\n";

#[test]
fn of_a_configuration() {
    let scene = Configured::new();
    assert_refused(&["run", "--config", "/no/such.toml"], 2, &["/no/such.toml", "No such file"]);
    let folder = scene.path().to_str().unwrap();
    assert_refused(&["run", "--log", "off", "--config", folder], 2, &[folder]);
    assert_refused(&["run", "--log", "off", "--config", folder], 2, &["not a regular file"]);
    scene.assert_refused("listen = ", 2, &["config.toml, line 1"]);
    scene.assert_refused("\u{0}", 2, &["config.toml, line 1"]);
    scene.assert_refused(&format!("{GOOD}colour = 1"), 2, &["line 5", "`colour`"]);
    scene.assert_refused(&format!("{GOOD}chunk_size = 5"), 2, &["line 5", "chunk_size is 5"]);
    let peer = |peer: &str| GOOD.replace("[]", &format!("[{peer}]"));
    scene.assert_refused(&peer("{key='12', address='a:1'}"), 2, &["line 4", "64 hexadecimal"]);
    let key = "ab".repeat(32);
    let known = format!("{{key='{key}', address='127.0.0.1:1'}}");
    scene.assert_refused(&peer(&format!("{known}, {known}")), 2, &["names abababab twice"]);
    scene.assert_refused(&GOOD.replace("127.0.0.1:0", "nonsense"), 2, &["line 1", "nonsense"]);
    let other = "cd".repeat(32);
    let same = known.replace(&key, &other);
    scene.assert_refused(&peer(&format!("{known}, {same}")), 2, &["line 4", "both", "127.0.0.1:1"]);
    for address in ["127.0.0.1:0", "0.0.0.0:1", "[::]:1", "nonsense"] {
        let text = peer(&format!("{{key='{key}', address='{address}'}}"));
        scene.assert_refused(&text, 2, &["line 4", address]);
    }
    let dropping = format!("{GOOD}[flows.transport]\npolicy = 'drop_oldest'");
    scene.assert_refused(&dropping, 2, &["line 5", "Transport flow"]);
    scene.assert_refused(&format!("{GOOD}http = 'x'"), 2, &["line 5", "neither an address"]);
    scene.assert_refused(&format!("{GOOD}peers_file = 'x'"), 2, &["file of peers", "No such file"]);
    #[cfg(unix)]
    {
        // A pipe, as a shell's `<(…)` is; nobody writes to it.
        let pipe = scene.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let arguments = ["run", "--log", "off", "--config", pipe.to_str().unwrap()];
        assert_refused(&arguments, 2, &["pipe is no configuration", "not a regular file"]);
        let text = format!("{GOOD}peers_file = 'pipe'");
        scene.assert_refused(&text, 2, &["pipe is no file of peers", "not a regular file"]);
    }
    fs::write(scene.path().join("peers"), "\n[[peers]]\nkey = 1\n").unwrap();
    scene.assert_refused(&format!("{GOOD}peers_file = 'peers'"), 2, &["peers, line 3"]);
}

#[test]
fn of_what_a_configuration_names() {
    let scene = Configured::new();
    let nokey = GOOD.replace("'key'", "'nokey'");
    scene.assert_refused(&nokey, 2, &["config.toml, line 2: ", "nokey", "No such file"]);
    fs::write(scene.path().join("nokey"), "nothing").unwrap();
    scene.assert_refused(&nokey, 2, &["config.toml, line 2: ", "nokey", "no key file"]);
    let in_key = GOOD.replace("'store'", "'key'");
    scene.assert_refused(&in_key, 2, &["config.toml, line 3: ", "key", "cannot create"]);
    for (publish, words) in [
        ("nowhere", "No such file"),
        ("key", "which is the key file"),
        ("nokey", "which is no folder"),
        (".", "contains the store"),
    ] {
        let text = format!("{GOOD}publish = '{publish}'");
        scene.assert_refused(&text, 2, &["config.toml, line 5: publish is ", publish, words]);
    }
    let nobody = GOOD.replace("127.0.0.1:0", "nobody.invalid:1");
    scene.assert_refused(&nobody, 2, &["config.toml, line 1: ", "nobody.invalid", "not resolve"]);

    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    scene.assert_refused(&GOOD.replace("127.0.0.1:0", &address), 1, &[&address, "in use"]);

    let config = scene.config(GOOD);
    let running = Running::start(&mut command(["run", "--config", &config]));
    assert!(running.line().starts_with("ready: "));
    scene.assert_refused(GOOD, 1, &["store", "in use by another replica"]);
}

/// The peers may be left out, and the own entry may be among them.
#[cfg(unix)]
#[test]
fn of_nothing_if_it_is_only_to_be_checked() {
    use std::os::unix::fs::PermissionsExt as _;

    let scene = Configured::new();
    let key = scene.path().join("key");
    let id = String::from_utf8(output(["id", key.to_str().unwrap()]).stdout).unwrap();
    let id = id.trim_end();
    let without = GOOD.replace("peers = []\n", "");
    let check = |text: &str| {
        let config = scene.config(text);
        output(["run", "--check", "--config", &config])
    };
    let out = check(&without);
    assert_eq!(String::from_utf8(out.stdout).unwrap(), format!("ok: id={id} peers=0\n"));
    assert_eq!((out.status.code(), out.stderr.len()), (Some(0), 0));
    let out = check(&format!("{without}[[peers]]\nkey = '{id}'\naddress = '127.0.0.1:5'\n"));
    assert_eq!(String::from_utf8(out.stdout).unwrap(), format!("ok: id={id} peers=0\n"));
    let config = scene.config(&format!("{without}http = '7'\n"));
    let out = output(["run", "--check", "--json", "--config", &config]);
    let found: Value = serde_json::from_slice(&out.stdout).unwrap();
    let store = scene.path().join("store");
    let expected = json!({"id": id, "peers": 0, "listen": "127.0.0.1:0", "http": "127.0.0.1:7", "store": store,
        "publish": null, "export": null});
    assert_eq!(found, expected);
    assert_eq!(out.stdout.iter().filter(|byte| **byte == b'\n').count(), 1);
    assert_eq!(output(["run", "--json", "--config", &config]).status.code(), Some(2));
    assert_eq!(fs::read_dir(scene.path()).unwrap().count(), 2, "nothing is made");

    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let out = check(&without);
    let stderr = String::from_utf8(out.stderr).unwrap();
    assert!(stderr.contains("WARN") && stderr.contains("chmod"), "{stderr}");
    assert!(out.status.success());
    assert_eq!(check(&format!("{without}store_size = 1")).status.code(), Some(2));
    assert_eq!(check(&format!("{without}publish = 'nowhere'")).status.code(), Some(2));
    assert_eq!(check(&without.replace("'store'", "'key'")).status.code(), Some(2));
}
