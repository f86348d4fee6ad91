//! The configuration as a file with every setting, written from what the program knows of ranges and defaults.
//!
//! It is in three places: `run --help`, `replica/docs/replica.toml`, and each file that `init` makes. What is not said
//! stands behind a `#`, with its default or, where there is none, with an example.

use std::{fmt::Write as _, sync::LazyLock};

use gossip_engine::FlowType;
use gossip_replica::{replica::ReplicaOptions, store::StoreOptions, transport::limits::MAX_PEERS};

use super::{RESCAN, SETTLE, chunk_size, keep_removed, numbers, texts};

const HEAD: &str = "\
# The configuration of a replica: `gossip-replica run --config FILE`. Without the `#`, a line as `#name = value` says
# the default or, where there is none, an example. Relative paths are relative to the folder of this file.
#
# Peers and flows become what this file says while the replica runs: at SIGHUP, and when it or the peers_file changes.
# The rest holds from the start to the end.
";

const SIGNALS: &str = "\
SIGHUP reads the configuration anew. SIGTERM and SIGINT end the replica; SIGUSR1 and SIGUSR2 do nothing.";

/// What `run --help` says of the configuration.
pub(crate) fn help() -> &'static str {
    static HELP: LazyLock<String> =
        LazyLock::new(|| format!("The configuration is TOML:\n\n{}\n{SIGNALS}", reference(&[])));
    &HELP
}

/// What a configuration says: names of settings, and their values in TOML.
pub(crate) type Said = [(&'static str, String)];

/// A setting as it stands in the file.
struct Setting {
    about: String,
    name: &'static str,
    value: String,
    required: bool,
}

/// The file that says `said`.
pub(crate) fn reference(said: &Said) -> String {
    let mut text = HEAD.to_owned();
    for Setting { about, name, value, required } in settings() {
        let said = said.iter().find(|(said, _)| *said == name).map(|(_, value)| value);
        let mark = if required || said.is_some() { "" } else { "#" };
        let value = said.unwrap_or(&value);
        let _ = write!(text, "\n# {about}\n{mark}{name} = {value}\n");
    }
    peers(&mut text);
    flows(&mut text);
    text
}

fn settings() -> [Setting; 15] {
    let StoreOptions { min_free_bytes, verify_bytes_per_second, .. } = StoreOptions::default();
    let text = |text: &texts::Text, about: &str, required| Setting {
        about: about.to_owned(),
        name: text.name,
        value: format!("{:?}", text.example),
        required,
    };
    let number = |number: &numbers::Number, about: &str, value: u64| Setting {
        about: format!("{about}: {number}."),
        name: number.name,
        value: value.to_string(),
        required: false,
    };
    [
        text(
            &texts::LISTEN,
            "Where to listen, host:port. With port 0 the system chooses one.",
            true,
        ),
        text(&texts::KEY_FILE, "The private key, as `init` and `keygen` write it.", true),
        text(&texts::STORE, "The folder of what is held; made if there is none.", true),
        text(
            &texts::PUBLISH,
            "A folder whose files are published, apart from store and key; none unless set.",
            false,
        ),
        text(
            &texts::EXPORT,
            "A folder, which must be there, that is kept as the peers' are, each below its name; none unless set.",
            false,
        ),
        number(
            &numbers::CHUNK_SIZE,
            "Bytes of the chunks in which what is published is fetched",
            chunk_size().into(),
        ),
        number(
            &numbers::RESCAN_SECONDS,
            "Every so many seconds `publish` is looked through, less often if that is dear",
            RESCAN.as_secs(),
        ),
        number(
            &numbers::SETTLE_SECONDS,
            "A file is published after so many seconds without a change",
            SETTLE.as_secs(),
        ),
        number(
            &numbers::KEEP_REMOVED_SECONDS,
            "What was removed or replaced is kept for so many seconds, if there is space",
            keep_removed().as_secs(),
        ),
        number(
            &numbers::MIN_FREE_BYTES,
            "Bytes that `store` and `export` leave free on their disks",
            min_free_bytes,
        ),
        number(
            &numbers::MAX_STORE_BYTES,
            "The most bytes that the store holds, no limit unless set",
            1_000_000_000,
        ),
        number(
            &numbers::MAX_PUBLISHER_BYTES,
            "The most bytes that are held of the folder of one peer, no limit unless set",
            200_000_000,
        ),
        number(
            &numbers::VERIFY_BYTES_PER_SECOND,
            "Bytes a second at which what is held is read back and verified; 0 is off",
            verify_bytes_per_second,
        ),
        text(
            &texts::HTTP,
            "A page that shows the replica, and /metrics; none unless set. A port alone is on loopback.",
            false,
        ),
        text(
            &texts::PEERS_FILE,
            "A file of nothing but [[peers]], the same on all machines: the own entry is skipped.",
            false,
        ),
    ]
}

fn peers(text: &mut String) {
    let (key, address, name) = (&texts::KEY, &texts::ADDRESS, &texts::NAME);
    let _ = write!(
        text,
        "\n# The peers, here and in the peers_file: at most {MAX_PEERS}. A peer's key is its node id, 64 hexadecimal \
         digits.\n\
         # A name is optional: 1 to 32 of a-z, 0-9 and -. Without it the first digits of the key stand for the peer.\n\
         #[[peers]]\n#{} = {:?}\n#{} = {:?}\n#{} = {:?}\n",
        key.name, key.example, address.name, address.example, name.name, name.example,
    );
}

fn flows(text: &mut String) {
    let (max_inflight, peer_quota) = (numbers::MAX_INFLIGHT, numbers::PEER_QUOTA);
    let (flow_bytes, peer_bytes) = (numbers::FLOW_BYTES, numbers::PEER_BYTES);
    let (policy, max_age) = (&texts::POLICY, numbers::MAX_AGE_MS);
    let _ = write!(
        text,
        "\n# The flows of messages, each with:\n\
         #   {} - messages admitted and not finished: {max_inflight}\n\
         #   {} - those of one peer, a part of max_inflight unless set: {peer_quota}\n\
         #   {} - the same in bytes, no limit unless set: {flow_bytes}\n\
         #   {} - the same in bytes of one peer, no limit unless set: {peer_bytes}\n\
         #   {} - what happens without capacity: wait, refuse, drop_newest, drop_oldest or keep_latest\n\
         #   {} - milliseconds after which a message does not start, no limit unless set: {max_age}\n",
        max_inflight.name,
        peer_quota.name,
        flow_bytes.name,
        peer_bytes.name,
        policy.name,
        max_age.name,
    );
    let channels = ReplicaOptions::default().channels;
    for flow in FlowType::ALL {
        let config = channels.flow(flow);
        let _ = write!(
            text,
            "\n#[flows.{}]\n#{} = {}\n#{} = {}\n#{} = {:?}\n",
            flow.name().to_lowercase(),
            max_inflight.name,
            config.max_inflight_requests(),
            peer_quota.name,
            config.peer_quota(),
            policy.name,
            policy.example,
        );
    }
}
