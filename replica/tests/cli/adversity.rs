//! A replica that is killed in the middle of a file and goes on with it, and one whose disk takes no more.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    process::Command,
};

use tempfile::TempDir;

use crate::{
    line::Weather,
    node::{Node, content, contents},
    program::{Running, output, until},
    relay::Relay,
};

/// Far more than the disk takes.
const BIG_BYTES: u32 = 4 << 20;
/// Far more than is let through before the replica is killed.
const KILLED_BYTES: u32 = 64 << 20;
/// More than a half of it, so that it costs less than the whole if it does not come again.
const LET_THROUGH: u64 = 48 << 20;
/// What has come when it is killed, at least.
const KILLED_AFTER: u64 = 40 << 20;
/// How many chunks may have come at that moment and not be written down.
const UNWRITTEN_CHUNKS: u64 = 8;
/// The largest file that the disk takes: 32 or 64 KiB, depending on the shell.
const LIMIT_BLOCKS: &str = "64";
/// Contents that are smaller.
const SMALL: std::ops::Range<u32> = 0..2;
const MORE_SMALL: std::ops::Range<u32> = 7..9;
const OWN_SMALL: std::ops::Range<u32> = 14..16;

type Peers = Vec<(String, String)>;

fn big(bytes: u32) -> Vec<u8> {
    (0..bytes / 4).flat_map(u32::to_be_bytes).collect()
}

/// Two nodes of which the first dials, and what the second has in its list of the first.
fn two(folder: &TempDir) -> ([Node; 2], Peers) {
    let mut nodes = ["one", "two"].map(|name| Node::new(folder.path().join(name)));
    nodes.sort_by(|one, two| one.id.cmp(&two.id));
    let peers = vec![(nodes[0].id.clone(), "127.0.0.1:9".to_owned())];
    (nodes, peers)
}

fn end(mut running: Running) {
    running.signal("TERM");
    assert_eq!(running.end().code(), Some(0));
    let summary = running.line();
    assert!(summary.ends_with(" clean=true"), "{summary}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn one_that_is_killed_in_the_middle_of_a_file_fetches_the_rest_of_it() {
    let folder = TempDir::new().unwrap();
    let ([mut victim, mut source], peers) = two(&folder);
    let source_running = source.start(&peers);
    source.publish(SMALL);
    let big = big(KILLED_BYTES);
    source.publish_as("big", &big);
    until("all is published", || source.count() == 3);

    let relay = Relay::to(source.address.parse().unwrap(), Weather::default()).await;
    relay.limit(LET_THROUGH);
    let by_relay = vec![(source.id.clone(), relay.address().to_string())];
    victim.more = "http = '127.0.0.1:0'\n".to_owned();
    let running = victim.start(&by_relay);
    // Which may be on their way at the same time.
    let small: usize = SMALL.map(|number| content(number).len()).sum();
    let chunk_bytes = u64::from(victim.chunk_bytes);
    let small_chunks = small as u64 / chunk_bytes + SMALL.len() as u64;
    let received = |victim: &Node| victim.metric("gossip_replica_chunks_received_total");
    until("a part of the file has come", || received(&victim) * chunk_bytes > KILLED_AFTER);
    let before = received(&victim);
    running.kill();
    assert!(victim.partial_bytes() > u64::from(KILLED_BYTES), "it was in the middle");
    assert!(!victim.held().contains(&big));

    relay.heal();
    let running = victim.start(&by_relay);
    let expected: BTreeSet<_> = contents(SMALL).into_iter().chain([big]).collect();
    until("all has come", || victim.count() == 3);
    assert!(victim.held() == expected, "it holds something else");
    // What had come is there, and only the rest came.
    let resumed = || victim.metric("gossip_replica_resumed_bytes_total");
    until("all of it is counted", || {
        resumed() + received(&victim) * chunk_bytes >= u64::from(KILLED_BYTES)
    });
    let resumed = resumed();
    let at_least = (before - small_chunks - UNWRITTEN_CHUNKS) * chunk_bytes;
    assert!(resumed >= at_least, "{resumed} of {at_least} bytes");
    let rest = (u64::from(KILLED_BYTES) - resumed) / chunk_bytes + small_chunks;
    assert!(received(&victim) <= rest, "{} chunks in place of {rest}", received(&victim));
    end(running);
    assert_eq!(victim.partial_bytes(), 0, "nothing is left of the attempts");
    assert_eq!(relay.lost(), 0, "nothing but what was cut off");
    end(source_running);
}

#[test]
fn one_whose_disk_takes_no_more_says_so_and_serves_what_it_holds() {
    let folder = TempDir::new().unwrap();
    let ([mut limited, mut other], peers) = two(&folder);
    let other_running = other.start(&peers);
    other.publish(SMALL);
    other.publish_as("big", &big(BIG_BYTES));
    until("all is published", || other.count() == 3);

    let log = folder.path().join("log");
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("ulimit -f {LIMIT_BLOCKS} && exec \"$0\" run --config \"$1\"")])
        .arg(env!("CARGO_BIN_EXE_gossip-replica"))
        .env_remove("RUST_LOG");
    let peers = vec![(other.id.clone(), other.address.clone())];
    let running = limited.start_as(command, File::create(&log).unwrap().into(), &peers);
    let store = limited.folder.join("store");
    until("it says what is wrong", || {
        let log = fs::read_to_string(&log).unwrap();
        let mut lines = log.lines();
        lines.any(|line| {
            line.contains("the store refuses an artifact")
                && line.contains(&format!("cannot write {}", store.display()))
                && line.contains("File too large")
        })
    });

    // It goes on, in both directions.
    limited.publish(OWN_SMALL);
    other.publish(MORE_SMALL);
    let small = [SMALL, MORE_SMALL, OWN_SMALL].map(contents).into_iter().flatten();
    let mut expected: BTreeSet<Vec<u8>> = small.collect();
    until("it takes what it can", || limited.count() == expected.len());
    assert!(limited.held() == expected, "it holds something else");
    until("it serves what it holds", || other.count() == expected.len() + 1);
    end(running);

    // With space again it takes the rest.
    let running = limited.start(&peers);
    expected.insert(big(BIG_BYTES));
    until("all has come", || limited.count() == expected.len());
    for node in [&limited, &other] {
        assert!(node.held() == expected, "{} holds something else", node.folder.display());
    }
    end(running);
    end(other_running);
    assert_eq!(limited.partial_bytes(), 0, "nothing is left of the attempts");
    assert!(content(SMALL.end - 1).len() < 32 << 10);
}

/// What the folder of one peer may take: two of five files.
const SHARE: &str = "max_publisher_bytes = 100000\nhttp = '0'\n";
const FILE_BYTES: usize = 40_000;

#[test]
fn one_with_a_share_for_each_fetches_no_more_and_says_so() {
    let folder = TempDir::new().unwrap();
    let ([mut limited, mut source], peers) = two(&folder);
    let source_running = source.start(&peers);
    for number in 0..5_u8 {
        source.publish_as(&format!("file {number}"), &vec![number; FILE_BYTES]);
    }
    until("all is published", || source.count() == 5);
    limited.more = SHARE.to_owned();
    let peers = vec![(source.id.clone(), source.address.clone())];
    let running = limited.start(&peers);
    let http = limited.http.clone();
    let shown = || output(["status", "--http", &http]).stdout;
    let shown = || String::from_utf8(shown()).unwrap();
    let says = |text: &str| text.contains("not fetched") && text.contains(" over max_publisher");
    until("it says what it does not fetch", || says(&shown()));
    until("it fetches the rest", || limited.count() >= 2);
    // The own files have no limit, and are fetched by the other.
    for number in 10..15_u8 {
        limited.publish_as(&format!("file {number}"), &vec![number; FILE_BYTES]);
    }
    until("its files have come", || source.count() == 10);
    // One more may have come before its catalog.
    assert!((7..=8).contains(&limited.count()), "{}", limited.count());
    end(running);
    end(source_running);
}
