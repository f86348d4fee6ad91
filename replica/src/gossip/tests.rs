//! Replicas in one thread: real files, a network in memory, virtual time.

mod catalogs;
mod cluster;
mod resume;
mod shares;

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
};

use gossip_engine::{
    ArtifactFilter, ArtifactId, ChunkError, FlowType, Gossip, GossipChunk, GossipChunkRequest,
    GossipMessage, IntegrityHash, NodeId,
};
use proptest::prelude::*;

use self::cluster::{Cluster, crash};
use super::*;
use crate::{
    outbox::SendError,
    store::{Artifact, StoreOptions, Verifier},
};

/// Content that does not compress or repeat, different for each seed.
fn content(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect()
}

fn small_chunks() -> GossipOptions {
    GossipOptions { chunk_bytes: 1024, ..GossipOptions::default() }
}

#[test]
fn files_spread_to_all() {
    let mut cluster =
        Cluster::new(&[small_chunks(), small_chunks(), small_chunks(), small_chunks()]);
    cluster.connect_all();
    let mut ids = Vec::new();
    for (at, length) in [0, 1, 1024, 1025, 50_000, 300_000].into_iter().enumerate() {
        ids.push(cluster.publish(at % 4, &content(at as u64, length)));
    }
    cluster.run_until_all_hold(&ids, 5);
    cluster.run_for(10);
    cluster.check_at_rest();
    let fetched: u64 = (0..4).map(|at| cluster.replica(at).snapshot().fetched.artifacts).sum();
    assert_eq!(fetched, 3 * 6);
    for at in 0..4 {
        let snapshot = cluster.replica(at).snapshot();
        assert_eq!((snapshot.artifacts, snapshot.peers), (6, 3));
        assert_eq!(snapshot.fetched.chunks_requested, snapshot.fetched.chunks_received);
        assert_eq!(snapshot.fetched.chunks_timed_out, 0);
    }
}

#[test]
fn one_that_joins_late_gets_everything() {
    let mut cluster = Cluster::new(&[small_chunks(), small_chunks(), small_chunks()]);
    let ids: Vec<_> = (0..50).map(|n| cluster.publish(0, &content(n, 3_000))).collect();
    cluster.connect(0, 1);
    cluster.run_until(5, |cluster| cluster.holds(1, &ids));
    cluster.connect(0, 2);
    cluster.connect(1, 2);
    cluster.run_until_all_hold(&ids, 5);
    cluster.check_at_rest();
}

#[test]
fn what_has_come_goes_on_to_those_that_the_first_does_not_know() {
    let mut cluster = Cluster::new(&[small_chunks(), small_chunks(), small_chunks()]);
    cluster.connect(0, 1);
    cluster.connect(1, 2);
    let id = cluster.publish(0, &content(1, 100_000));
    cluster.run_until_all_hold(&[id], 5);
}

#[test]
fn one_that_sends_wrong_bytes_delays_and_does_not_prevent() {
    let mut cluster = Cluster::new(&[small_chunks(), small_chunks(), small_chunks()]);
    let mut ids = Vec::new();
    for n in 0..10 {
        let content = content(n, 60_000);
        ids.push(cluster.publish(0, &content));
        cluster.publish(1, &content);
    }
    cluster.spoil_chunks_of(1);
    cluster.connect(1, 2);
    cluster.connect(0, 2);
    cluster.run_until_all_hold(&ids, 600);
    let fetched = cluster.replica(2).snapshot().fetched;
    assert!(fetched.hash_mismatches > 0 && fetched.blamed > 0);
    assert!(fetched.blamed <= 10, "an honest replica is blamed");
    cluster.check_at_rest();
}

#[test]
fn one_that_does_not_answer_costs_a_moment() {
    let mut cluster = Cluster::new(&[small_chunks(), small_chunks(), small_chunks()]);
    cluster.lose_chunks_of(0);
    cluster.connect_all();
    for n in 0..5 {
        let content = content(n, 1_000);
        // The mute one has it first, so that it is the first to be asked.
        let id = cluster.publish(0, &content);
        cluster.step(2);
        cluster.publish(1, &content);
        let before = cluster.now();
        cluster.run_until(20, |cluster| cluster.holds(2, &[id]));
        let took = cluster.now() - before;
        assert!(took <= Duration::from_millis(700), "file {n} took {took:?}");
    }
    let fetched = cluster.replica(2).snapshot().fetched;
    assert_eq!((fetched.chunks_received, fetched.chunks_unsolicited), (5, 0));
    assert_eq!(fetched.bytes_received, 5 * 1_000);
}

#[test]
fn one_that_announces_and_does_not_deliver_takes_nobody_elses_space() {
    let limited = StoreOptions { max_store_bytes: Some(100_000), ..crash() };
    let options = [small_chunks(), small_chunks(), small_chunks()];
    let mut cluster = Cluster::with_stores(&options, &[crash(), crash(), limited]);
    cluster.lose_chunks_of(0);
    cluster.connect(0, 2);
    // Together all that the store may hold.
    for n in 0..20 {
        cluster.publish(0, &content(n, 5_000));
    }
    cluster.run_until(1, |cluster| cluster.replica(2).snapshot().active == 20);
    cluster.connect(1, 2);
    let id = cluster.publish(1, &content(100, 60_000));
    cluster.run_until(2, |cluster| cluster.holds(2, &[id]));
    // Nor its own.
    cluster.publish(2, &content(101, 30_000));
}

#[test]
fn full_queues_lose_nothing_and_cost_no_minute() {
    let mut cluster = Cluster::new(&[small_chunks(), small_chunks()]);
    cluster.limit_queues(4);
    let ids: Vec<_> = (0..60).map(|n| cluster.publish(0, &content(n, 2_000))).collect();
    cluster.connect_all();
    // Adverts to all meet full queues, too.
    let more: Vec<_> = (100..130).map(|n| cluster.publish(0, &content(n, 500))).collect();
    cluster.run_until_all_hold(&[ids, more].concat(), 55);
    assert!(cluster.replica(0).snapshot().served.adverts_unsent > 0);
    cluster.check_at_rest();
}

#[test]
fn an_answer_of_many_turns_goes_to_its_end() {
    let mut cluster = Cluster::new(&[small_chunks(), small_chunks()]);
    for n in 0..1_030 {
        cluster.publish(0, &content(n, 8));
    }
    // What was announced to nobody is not announced again.
    cluster.run_for(1);
    cluster.connect_all();
    cluster.run_until(10, |cluster| cluster.replica(1).artifact_count() == 1_030);
    assert_eq!(cluster.replica(0).snapshot().served.retransmissions_answered, 1);
}

#[test]
fn adverts_that_are_not_broadcast_cost_a_tick_and_no_minute() {
    let mut cluster = Cluster::new(&[small_chunks(), small_chunks(), small_chunks()]);
    cluster.connect_all();
    cluster.run_for(1);
    cluster.limit_announcements(1);
    let ids: Vec<_> = (0..200).map(|n| cluster.publish(n % 3, &content(n as u64, 100))).collect();
    cluster.run_until_all_hold(&ids, 1);
    assert!(cluster.announced() < 600, "nothing was dropped");
    for at in 0..3 {
        assert_eq!(cluster.replica(at).snapshot().served.retransmissions_answered, 2);
    }
    cluster.check_at_rest();
}

#[test]
fn an_advert_that_was_dropped_where_it_arrived_is_repaired_within_two_ticks() {
    let mut cluster = Cluster::new(&[small_chunks(), small_chunks()]);
    cluster.connect_all();
    // The other answers at once, because it has not for a while.
    cluster.run_for(10);
    cluster.drop_arriving(FlowType::Advert, 1);
    let id = cluster.publish(0, &content(1, 8));
    let before = cluster.now();
    cluster.run_until_all_hold(&[id], 1);
    // At the first tick it is asked for; what is published is fetched without another.
    assert!(cluster.now() - before <= Duration::from_millis(200));
    // Many drops are one question.
    let asked = cluster.replica(1).snapshot().fetched.retransmissions_asked;
    cluster.drop_arriving(FlowType::Advert, 50);
    let ids: Vec<_> = (2..52).map(|n| cluster.publish(0, &content(n, 8))).collect();
    cluster.run_until_all_hold(&ids, 10);
    assert!(cluster.replica(1).snapshot().fetched.retransmissions_asked <= asked + 2);
}

#[test]
fn an_advert_that_was_dropped_and_says_nothing_new_is_not_asked_for() {
    let mut cluster = Cluster::new(&[small_chunks(), small_chunks()]);
    cluster.connect_all();
    let id = cluster.publish(0, &content(1, 8));
    cluster.run_until_all_hold(&[id], 1);
    let asked = cluster.replica(0).snapshot().fetched.retransmissions_asked;
    cluster.drop_arriving(FlowType::Advert, 5);
    let held = advert_of(cluster.replica(0).store().get(id).unwrap(), None, &small_chunks());
    for _ in 0..5 {
        cluster.replica(1).broadcast_advert(held.clone(), ArtifactDestination::AllReplicas);
    }
    cluster.run_for(2);
    assert_eq!(cluster.replica(0).snapshot().fetched.retransmissions_asked, asked);
}

#[test]
fn a_chunk_that_was_dropped_where_it_arrived_is_asked_for_again_at_once() {
    let mut cluster = Cluster::new(&[small_chunks(), small_chunks()]);
    cluster.connect_all();
    cluster.run_for(1);
    cluster.drop_arriving(FlowType::Chunk, 2);
    let id = cluster.publish(0, &content(1, 50 * 1024));
    let before = cluster.now();
    cluster.run_until_all_hold(&[id], 60);
    // No time passes in the network, and a chunk is not late before 200 ms.
    assert!(cluster.now() - before <= Duration::from_millis(100), "{:?}", cluster.now() - before);
    let fetched = cluster.replica(1).snapshot().fetched;
    assert_eq!(
        (fetched.chunks_lost, fetched.chunks_requested, fetched.chunks_received),
        (2, 52, 50)
    );
    assert_eq!((fetched.chunks_timed_out, fetched.chunks_hedged, fetched.blamed), (0, 0, 0));
    cluster.check_at_rest();
}

#[test]
fn a_question_that_was_dropped_where_it_arrived_is_answered_all_the_same() {
    let mut cluster = Cluster::new(&[small_chunks(), small_chunks()]);
    let id = cluster.publish(0, &content(1, 8));
    cluster.run_for(1);
    cluster.drop_arriving(FlowType::Retransmission, 2);
    cluster.connect_all();
    cluster.run_until_all_hold(&[id], 1);
}

#[test]
fn a_broken_connection_is_taken_up_again() {
    let mut cluster = Cluster::new(&[small_chunks(), small_chunks()]);
    let ids = [cluster.publish(0, &content(1, 100_000)), cluster.publish(0, &content(2, 5_000))];
    for steps in [3, 10, 40, 90] {
        cluster.connect(0, 1);
        cluster.step(steps);
        cluster.disconnect(0, 1);
    }
    assert!(!cluster.holds(1, &ids));
    cluster.connect(0, 1);
    cluster.run_until_all_hold(&ids, 30);
    cluster.check_at_rest();
}

#[test]
fn replicas_with_other_chunk_sizes_understand_each_other() {
    let other = GossipOptions { chunk_bytes: 5_000, ..GossipOptions::default() };
    let mut cluster = Cluster::new(&[small_chunks(), other, GossipOptions::default()]);
    cluster.connect_all();
    let ids: Vec<_> = (0..6).map(|n| cluster.publish(n % 3, &content(n as u64, 30_000))).collect();
    cluster.run_until_all_hold(&ids, 60);
    cluster.check_at_rest();
}

#[test]
fn a_disk_that_recovers_is_no_catastrophe() {
    let mut cluster = Cluster::new(&[small_chunks(), small_chunks()]);
    let partials = cluster.replica(1).store().folder().join("partial");
    fs::remove_dir(&partials).unwrap();
    fs::write(&partials, "in the way").unwrap();
    cluster.connect_all();
    let id = cluster.publish(0, &content(1, 10_000));
    cluster.run_for(30);
    let fetched = cluster.replica(1).snapshot().fetched;
    assert!(fetched.disk_errors > 0 && fetched.artifacts == 0);
    fs::remove_file(&partials).unwrap();
    fs::create_dir(&partials).unwrap();
    cluster.run_until_all_hold(&[id], 10);
    cluster.check_at_rest();
}

#[test]
fn publishing_what_is_being_fetched_ends_the_fetching() {
    let mut cluster = Cluster::new(&[small_chunks(), small_chunks()]);
    let content = content(1, 200_000);
    let id = cluster.publish(0, &content);
    cluster.connect_all();
    cluster.run_until(5, |cluster| cluster.replica(1).snapshot().fetched.chunks_received > 5);
    assert_eq!(cluster.publish(1, &content), id);
    let snapshot = cluster.replica(1).snapshot();
    assert_eq!((snapshot.wanted, snapshot.active, snapshot.artifacts), (0, 0, 1));
    cluster.run_for(5);
    cluster.check_at_rest();
}

#[test]
fn what_was_lost_on_disk_is_fetched_again() {
    let mut cluster = Cluster::new(&[small_chunks(), small_chunks()]);
    cluster.connect_all();
    let id = cluster.publish(0, &content(1, 5_000));
    cluster.run_until_all_hold(&[id], 5);
    let store = cluster.replica(1).store().clone();
    fs::write(store.folder().join(format!("{id:x}")), content(2, 5_000)).unwrap();
    assert!(!store.verify(id).unwrap());
    // Sooner than everybody is asked for adverts anyway.
    cluster.run_until_all_hold(&[id], 15);
    assert!(store.verify(id).unwrap());
    assert_eq!((store.status().damaged, store.status().repaired), (1, 1));
}

/// Its artifacts are wanted by then, and nobody gives them.
#[test]
fn a_store_that_is_moved_away_and_back_is_found_again() {
    let mut cluster = Cluster::new(&[small_chunks(), small_chunks()]);
    cluster.connect_all();
    let id = cluster.publish(0, &content(1, 5_000));
    cluster.run_until_all_hold(&[id], 5);
    let store = cluster.replica(1).store().clone();
    let elsewhere = tempfile::tempdir().unwrap();
    let aside = elsewhere.path().join("store");
    fs::rename(store.folder(), &aside).unwrap();
    assert!(!store.verify(id).unwrap());
    cluster.lose_chunks_of(0);
    cluster.run_until(15, |cluster| cluster.replica(1).snapshot().wanted == 1);

    fs::remove_dir_all(store.folder()).unwrap();
    fs::rename(&aside, store.folder()).unwrap();
    // Whatever is written next looks at the folder; elsewhere the verifier does, each second.
    cluster.publish(1, &content(2, 100));
    assert!(store.verify(id).unwrap());
    cluster.run_until(15, |cluster| cluster.replica(1).snapshot().wanted == 0);
    assert_eq!(cluster.replica(1).snapshot().fetched.artifacts, 1, "not fetched anew");
    assert_eq!(store.status().repaired, 1);
    cluster.check_at_rest();
}

#[test]
fn what_nobody_would_fetch_is_not_published() {
    let options = GossipOptions { max_artifact_bytes: 1_000, ..small_chunks() };
    let cluster = Cluster::new(&[options]);
    let file = cluster.file(&content(1, 1_001));
    let error = cluster.replica(0).publish(&file).unwrap_err();
    assert!(matches!(error, PublishError::TooLarge { size: 1_001, limit: 1_000, .. }));
    assert!(cluster.replica(0).publish(&cluster.file(&content(1, 1_000))).unwrap().new);
    assert!(!cluster.replica(0).publish(&cluster.file(&content(1, 1_000))).unwrap().new);
    assert!(matches!(cluster.replica(0).publish(&file.join("x")), Err(PublishError::Store(_))));
    assert_eq!(cluster.announced(), 1);
    assert_eq!(cluster.replica(0).artifact_count(), 1);
}

#[test]
fn a_chunk_that_is_not_there_is_answered_by_an_error() {
    let cluster = Cluster::new(&[small_chunks(), small_chunks()]);
    cluster.connect_all();
    let id = cluster.publish(0, &content(1, 1_500));
    let asker = cluster.id(1);
    let store = cluster.replica(0).store();
    let broken = store.folder().join(format!("{id:x}"));
    let ask = |id: ArtifactId, hash: [u8; 32], chunk_number| {
        let integrity_hash = IntegrityHash::new(hash);
        let request = GossipChunkRequest { artifact_id: id, integrity_hash, chunk_number };
        cluster.replica(0).on_chunk_request(request, asker);
        cluster.last_chunk().payload.map(|bytes| bytes.len())
    };
    let hash = *id.as_bytes();
    assert_eq!(ask(id, hash, 0), Ok(1_024));
    assert_eq!(ask(id, hash, 1), Ok(476));
    assert_eq!(ask(id, hash, 2), Err(ChunkError::NotFound));
    assert_eq!(ask(id, hash, u32::MAX), Err(ChunkError::NotFound));
    assert_eq!(ask(id, [0; 32], 0), Err(ChunkError::NotFound));
    assert_eq!(ask(ArtifactId::new([0; 32]), [0; 32], 0), Err(ChunkError::NotFound));
    fs::remove_file(&broken).unwrap();
    fs::create_dir(&broken).unwrap();
    assert_eq!(ask(id, hash, 0), Err(ChunkError::NotFound));
    assert_eq!(cluster.replica(0).snapshot().served.chunk_errors, 5);

    // What is large and has still to be verified can be served later.
    let large = cluster.publish(0, &content(2, 2 << 20));
    let hash = *large.as_bytes();
    let mut verifier = Verifier::new(store.clone());
    let file = fs::File::options().append(true).open(store.folder().join(format!("{large:x}")));
    file.unwrap().set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(ask(large, hash, 7), Err(ChunkError::Unavailable));
    while verifier.step(Duration::ZERO).is_zero() {}
    assert_eq!(ask(large, hash, 7), Ok(1_024));
}

/// A read would find that the file is gone, and the store would no longer hold it.
#[test]
fn nothing_is_read_for_a_peer_that_takes_no_answers() {
    let cluster = Cluster::new(&[small_chunks(), small_chunks()]);
    cluster.connect_all();
    cluster.limit_queues(3);
    let id = cluster.publish(0, &content(1, 1_500));
    let replica = cluster.replica(0);
    let request = GossipChunkRequest {
        artifact_id: id,
        integrity_hash: IntegrityHash::new(*id.as_bytes()),
        chunk_number: 0,
    };
    for _ in 0..3 {
        replica.on_chunk_request(request.clone(), cluster.id(1));
    }
    fs::remove_file(replica.store().folder().join(format!("{id:x}"))).unwrap();
    for _ in 0..100 {
        replica.on_chunk_request(request.clone(), cluster.id(1));
    }
    assert!(replica.store().contains(id), "the disk was read for an answer that nobody takes");
    let served = replica.snapshot().served;
    assert_eq!((served.chunks, served.requests_dropped, served.chunk_errors), (3, 100, 0));
    // As soon as there is capacity, it is looked for again.
    cluster.last_chunk();
    replica.on_chunk_request(request, cluster.id(1));
    assert_eq!(replica.snapshot().served.chunk_errors, 1);
}

#[test]
fn options_that_cannot_be_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (options, expected) in [
        (GossipOptions { chunk_bytes: 0, ..small_chunks() }, OptionsError::ChunkBytes(0)),
        (
            GossipOptions { chunk_bytes: 3 << 20, ..small_chunks() },
            OptionsError::ChunkBytes(3 << 20),
        ),
        (GossipOptions { max_downloads: 0, ..small_chunks() }, OptionsError::Zero("max_downloads")),
        (
            GossipOptions { chunk_timeout: Duration::ZERO, ..small_chunks() },
            OptionsError::Zero("chunk_timeout"),
        ),
    ] {
        let outbox = cluster::nowhere();
        let store = Store::open(folder.path()).unwrap();
        let catalogs = Catalogs::open(&store.catalogs_folder()).unwrap();
        let error =
            ReplicaGossip::new(options, store, catalogs, outbox, |_, _| Ok(())).unwrap_err();
        assert_eq!(error, expected);
    }
}

/// Many threads call at the same time, as the engine's do; nothing panics, hangs or is left behind.
#[test]
fn callbacks_may_run_at_the_same_time() {
    let cluster = Cluster::new(&[small_chunks(), small_chunks()]);
    let files: Vec<_> = (0..8).map(|n| cluster.file(&content(n, 20_000))).collect();
    let ids: Vec<_> =
        files.iter().map(|file| cluster.replica(0).publish(file).unwrap().artifact).collect();
    let (server, replica, peer) = (cluster.replica(0), cluster.replica(1), cluster.id(0));
    replica.on_peer_up(peer);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let ids = &ids;
            scope.spawn(move || {
                for round in 0..50 {
                    for artifact in ids {
                        let advert = advert_of(*artifact, None, server.options());
                        replica.on_gossip_advert(advert, peer);
                        for chunk in 0..20 {
                            let bytes = server.store().read_chunk(
                                artifact.id,
                                chunk * 1024,
                                if chunk == 19 { 544 } else { 1024 },
                            );
                            let payload = Ok(bytes.unwrap());
                            let integrity_hash = IntegrityHash::new(*artifact.id.as_bytes());
                            let chunk_number = chunk as u32;
                            replica.on_gossip_chunk(
                                GossipChunk {
                                    artifact_id: artifact.id,
                                    integrity_hash,
                                    chunk_number,
                                    payload,
                                },
                                peer,
                            );
                        }
                    }
                    if thread == 0 && round % 10 == 5 {
                        replica.on_peer_down(peer);
                        replica.on_peer_up(peer);
                    }
                    replica.on_gossip_timer();
                }
            });
        }
    });
    replica.on_peer_down(peer);
    cluster.pass(3_600);
    replica.on_gossip_timer();
    let snapshot = replica.snapshot();
    assert_eq!((snapshot.wanted, snapshot.active), (0, 0));
    cluster.check_at_rest();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whoever publishes what, and whoever is connected with whom: in the end all hold all.
    #[test]
    fn any_connected_cluster_converges(
        parents in proptest::collection::vec(any::<prop::sample::Index>(), 1..5),
        files in proptest::collection::vec((any::<prop::sample::Index>(), 0..20_000_usize), 1..12),
        queue in 3..40_usize,
    ) {
        let replicas = parents.len() + 1;
        let mut cluster = Cluster::new(&vec![small_chunks(); replicas]);
        cluster.limit_queues(queue);
        for (at, parent) in parents.iter().enumerate() {
            cluster.connect(at + 1, parent.index(at + 1));
        }
        let ids: Vec<_> = files
            .iter()
            .enumerate()
            .map(|(n, (at, length))| cluster.publish(at.index(replicas), &content(n as u64, *length)))
            .collect();
        cluster.run_until_all_hold(&ids, 300);
        cluster.run_for(1);
        cluster.check_at_rest();
    }
}

/// Counts what is sent, and panics at the first request for a chunk and at the first advert.
#[derive(Default)]
struct Panics {
    requests: Mutex<u32>,
    adverts: Mutex<u32>,
}

fn count_or_panic(count: &Mutex<u32>) {
    let mut count = count.lock().unwrap_or_else(PoisonError::into_inner);
    *count += 1;
    assert!(*count > 1, "on purpose");
}

impl Outbox for Panics {
    fn send(&self, _: NodeId, message: GossipMessage) -> Result<(), SendError> {
        match message {
            GossipMessage::ChunkRequest(_) => count_or_panic(&self.requests),
            GossipMessage::Advert(_) => count_or_panic(&self.adverts),
            _ => {}
        }
        Ok(())
    }

    fn has_capacity(&self, _: NodeId, _: FlowType, _: usize) -> bool {
        true
    }
}

#[test]
fn an_action_that_panics_keeps_no_other_from_being_done() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = Arc::new(Panics::default());
    let store = Store::open(folder.path()).unwrap();
    let catalogs = Catalogs::open(&store.catalogs_folder()).unwrap();
    let gossip =
        ReplicaGossip::new(small_chunks(), store, catalogs, outbox.clone(), |_, _| Ok(())).unwrap();
    let peer = NodeId::new([7; 32]);
    gossip.on_peer_up(peer);
    let id = ArtifactId::new([8; 32]);
    let advert = advert_of(Artifact { id, size: 4 * 1024, height: 0 }, None, &small_chunks());
    let heard = catch_unwind(AssertUnwindSafe(|| gossip.on_gossip_advert(advert, peer)));
    assert!(heard.is_err(), "the engine counts it");
    assert_eq!(*outbox.requests.lock().unwrap_or_else(PoisonError::into_inner), 4);
}

#[test]
fn a_turn_of_adverts_that_panics_is_taken_up_again() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = Arc::new(Panics::default());
    let store = Store::open(folder.path()).unwrap();
    let catalogs = Catalogs::open(&store.catalogs_folder()).unwrap();
    let gossip =
        ReplicaGossip::new(small_chunks(), store, catalogs, outbox.clone(), |_, _| Ok(())).unwrap();
    let file = folder.path().with_extension("file");
    fs::write(&file, "content").unwrap();
    gossip.publish(&file).unwrap();
    fs::remove_file(&file).unwrap();
    let peer = NodeId::new([7; 32]);
    let came = catch_unwind(AssertUnwindSafe(|| {
        gossip.on_peer_up(peer);
        gossip.on_gossip_retransmission_request(ArtifactFilter { height: 0 }, peer);
    }));
    assert!(came.is_err(), "the engine counts it");
    gossip.on_gossip_timer();
    assert_eq!(*outbox.adverts.lock().unwrap_or_else(PoisonError::into_inner), 2);
}
