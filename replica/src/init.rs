//! `gossip-replica init`: what a machine of a cluster needs, in a folder, and its entry in the list of peers.
//!
//! ```text
//! folder ──> key ──> folders ──> replica.toml ──> entry in the file of peers
//!   └─────────┴────────┴────────────────┴── a fault: what this run has made is taken away again
//! ```
//!
//! What is there already stays: a second run makes what is missing, and nothing if nothing is. A `replica.toml` that
//! contradicts the command line is a fault. Files are written aside and renamed. Several runs with one file of peers
//! take turns; each waits [`LOCK_PATIENCE`] at the most.

use std::{
    fs::{self, File, Permissions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};

use gossip_replica::{
    identity::Identity,
    transport::{AddressError, PeerAddress},
};
use serde_json::json;
use toml::Value;

use crate::{
    cli::InitArgs,
    failure::{Failure, one_line, say, say_json, shown},
    run::real_path,
    settings::{PeerSettings, Settings, reference},
};

const CONFIG: &str = "replica.toml";
const KEY: &str = "replica.key";
const STORE: &str = "store";
const OUTBOX: &str = "outbox";
const INBOX: &str = "inbox";

/// How long another run may take with the same file of peers.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Makes what is missing, and says what to do next.
pub(crate) fn init(args: &InitArgs) -> Result<(), Failure> {
    let mut made = Made::default();
    let (peer, entered) = match set_up(args, &mut made) {
        Ok(done) => done,
        Err(failure) => {
            made.take_away();
            return Err(failure);
        }
    };
    let config = args.dir.join(CONFIG);
    if args.json {
        return say_json(&json!({
            "id": format!("{:x}", peer.key),
            "address": peer.address.as_str(),
            "config": shown(&config),
            "peers": shown(&args.peers),
            "made": made.0.iter().map(|path| shown(path)).collect::<Vec<_>>(),
            "entered": entered,
        }));
    }
    let line = |text: String| say(one_line(&text));
    for path in &made.0 {
        line(format!("made {}", path.display()))?;
    }
    let peers = args.peers.display();
    if entered {
        line(format!("entered into {peers}: {:x} at {}", peer.key, peer.address))?;
    } else if made.0.is_empty() {
        line(format!("nothing to do: {} and {peers} are as they should be", args.dir.display()))?;
    }
    line(format!("id: {:x}", peer.key))?;
    line(format!("next: gossip-replica run --config {}", config.display()))?;
    line(format!("      each machine needs {peers}; those that run read it anew when it changes"))
}

/// Says who the replica is, and whether the file of peers has changed.
fn set_up(args: &InitArgs, made: &mut Made) -> Result<(PeerSettings, bool), Failure> {
    let address = reachable(args)?;
    let dir = &args.dir;
    made.folder(dir)?;
    let peers_file = real_path(&args.peers).map_err(cannot("find", &args.peers))?;
    let config = dir.join(CONFIG);
    let there = if is_there(&config)? {
        let settings = Settings::load_without_peers_file(&config)?;
        agree(args, &settings, &peers_file)?;
        Some(settings)
    } else {
        None
    };
    let key_file = there.as_ref().map_or_else(|| dir.join(KEY), |there| there.key_file.clone());
    if [&key_file, &config].into_iter().any(|own| real_path(own).is_ok_and(|own| own == peers_file))
    {
        let peers = args.peers.display();
        return Err(Failure::usage(format_args!("--peers is {peers}, which is another file")));
    }
    let identity = if is_there(&key_file)? {
        Identity::load(&key_file).map_err(Failure::runtime)?
    } else {
        let identity = Identity::generate();
        identity.save(&key_file).map_err(Failure::runtime)?;
        made.0.push(key_file);
        identity
    };
    if let Some(there) = &there {
        made.folder(&there.store)?;
        for folder in there.publish.iter().chain(&there.export) {
            made.folder(folder)?;
        }
    } else {
        made.folder(&dir.join(STORE))?;
        made.folder(&dir.join(INBOX))?;
        if args.publish {
            made.folder(&dir.join(OUTBOX))?;
        }
        write_aside(&config, &configuration(args, &address, dir, &peers_file)?, None)?;
        made.0.push(config);
    }
    let peer = PeerSettings { key: identity.node_id(), address, name: None };
    let entered = enter(&peers_file, &peer)?;
    Ok((peer, entered))
}

/// Where the others reach this machine.
fn reachable(args: &InitArgs) -> Result<PeerAddress, Failure> {
    match (&args.address, &args.listen) {
        (Some(address), _) => Ok(address.clone()),
        (None, Some(listen)) => listen.parse().map_err(|error: AddressError| {
            Failure::usage(format_args!(
                "no peer reaches this machine at {listen}: {}; say --address",
                error.reason()
            ))
        }),
        (None, None) => Err(Failure::usage("say --address, --listen or both")),
    }
}

/// Refuses a configuration that says something else than the command line.
fn agree(args: &InitArgs, there: &Settings, peers_file: &Path) -> Result<(), Failure> {
    let fault = |name, said: String| {
        let fault = format_args!("{name} is not {said}, as the command line says; change one");
        Err(there.places.fault(name, fault))
    };
    if let Some(listen) = args.listen.as_ref().filter(|listen| **listen != there.listen) {
        return fault("listen", format!("{listen:?}"));
    }
    if let Some(http) = args.http.filter(|http| Some(*http) != there.http) {
        return fault("http", format!("\"{http}\""));
    }
    if args.publish && there.publish.is_none() {
        return fault("publish", format!("{OUTBOX:?}"));
    }
    let named = there.peers_file.as_ref().and_then(|named| real_path(named).ok());
    if named.as_deref() != Some(peers_file) {
        return fault("peers_file", format!("{:?}", peers_file.display().to_string()));
    }
    Ok(())
}

/// The text of a new configuration.
fn configuration(
    args: &InitArgs,
    address: &PeerAddress,
    dir: &Path,
    peers_file: &Path,
) -> Result<String, Failure> {
    let quoted = |text: &str| Value::from(text).to_string();
    let listen = args.listen.clone().unwrap_or_else(|| {
        let port = address.as_str().rsplit_once(':').map_or("0", |(_, port)| port);
        format!("[::]:{port}")
    });
    // What lies in the folder moves with it.
    let home = real_path(dir).map_err(cannot("find", dir))?;
    let peers_file = peers_file.strip_prefix(&home).unwrap_or(peers_file);
    let Some(peers_file) = peers_file.to_str() else {
        let fault = format_args!("--peers is {}, which is not in UTF-8", peers_file.display());
        return Err(Failure::usage(fault));
    };
    let mut said = vec![
        ("listen", quoted(&listen)),
        ("key_file", quoted(KEY)),
        ("store", quoted(STORE)),
        ("export", quoted(INBOX)),
        ("peers_file", quoted(peers_file)),
    ];
    if args.publish {
        said.push(("publish", quoted(OUTBOX)));
    }
    if let Some(http) = args.http {
        said.push(("http", quoted(&http.to_string())));
    }
    Ok(reference(&said))
}

/// Enters a peer into the file, and says whether this has changed it.
fn enter(file: &Path, peer: &PeerSettings) -> Result<bool, Failure> {
    // The file itself is replaced, so that a lock on it would be one on the file before.
    let _lock = lock(file.parent().unwrap_or(Path::new("/")))?;
    let Some(text) = Settings::peers_file_with(file, peer)? else { return Ok(false) };
    write_aside(file, &text, fs::metadata(file).ok().map(|file| file.permissions()))?;
    Ok(true)
}

/// Waits for its turn with the files of a folder, until what is returned is dropped.
fn lock(folder: &Path) -> Result<File, Failure> {
    let began = Instant::now();
    let file = File::open(folder).map_err(cannot("open", folder))?;
    loop {
        match fs4::FileExt::try_lock(&file) {
            Ok(()) => return Ok(file),
            Err(fs4::TryLockError::Error(error)) => return Err(cannot("lock", folder)(error)),
            Err(fs4::TryLockError::WouldBlock) if began.elapsed() < LOCK_PATIENCE => {
                sleep(LOCK_PAUSE);
            }
            Err(fs4::TryLockError::WouldBlock) => {
                let waited = LOCK_PATIENCE.as_secs();
                let folder = folder.display();
                let fault = format_args!("somebody else has locked {folder} for {waited} s");
                return Err(Failure::runtime(fault));
            }
        }
    }
}

/// Replaces a file, or makes one that all may read. A reader finds all of it or none.
fn write_aside(path: &Path, text: &str, permissions: Option<Permissions>) -> Result<(), Failure> {
    let written = || {
        let mut builder = tempfile::Builder::new();
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let mut file = builder.prefix(".init").tempfile_in(folder.unwrap_or(Path::new(".")))?;
        file.write_all(text.as_bytes())?;
        if let Some(permissions) = permissions {
            file.as_file().set_permissions(permissions)?;
        }
        file.as_file().sync_all()?;
        file.persist(path).map(drop).map_err(|error| error.error)
    };
    written().map_err(cannot("write", path))
}

/// What this run has made, in order.
#[derive(Debug, Default)]
struct Made(Vec<PathBuf>);

impl Made {
    /// Makes a folder and those above it, unless they are there.
    fn folder(&mut self, path: &Path) -> Result<(), Failure> {
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => return Ok(()),
            Ok(_) => return Err(Failure::runtime(format_args!("{} is no folder", path.display()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(cannot("make", path)(error)),
        }
        if let Some(above) = path.parent().filter(|above| !above.as_os_str().is_empty()) {
            self.folder(above)?;
        }
        fs::create_dir(path).map_err(cannot("make", path))?;
        self.0.push(path.to_owned());
        Ok(())
    }

    fn take_away(&self) {
        for path in self.0.iter().rev() {
            // What somebody else has put there meanwhile stays, and so does its folder.
            let _ = if path.is_dir() { fs::remove_dir(path) } else { fs::remove_file(path) };
        }
    }
}

/// Whether there is something of this name, be it a link to nowhere.
fn is_there(path: &Path) -> Result<bool, Failure> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(cannot("look at", path)(error)),
    }
}

fn cannot(what: &str, path: &Path) -> impl FnOnce(io::Error) -> Failure {
    move |error| Failure::runtime(format_args!("cannot {what} {}: {error}", path.display()))
}
