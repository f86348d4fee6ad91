//! The list of peers changes while the transport runs.

use gossip_engine::FlowType;
use gossip_replica::{
    outbox::SendError,
    transport::{Peer, PeerChanges, PeerState, StartError},
};

use crate::{
    recorder::{LIMIT, until},
    replica::{Replica, assert_they_talk, connected, identities, message, others, until_said},
};

fn changes(added: usize, moved: usize, removed: usize) -> PeerChanges {
    let mut changes = PeerChanges::default();
    (changes.added, changes.moved, changes.removed) = (added, moved, removed);
    changes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_added_is_met_and_the_others_notice_nothing() {
    let all = identities::<3>().map(|identity| Replica::bind(&identity));
    let peers = all.each_ref().map(Replica::as_peer);
    for added in 0..3 {
        let all = identities::<3>().map(|identity| Replica::bind(&identity));
        let peers = all.each_ref().map(Replica::as_peer);
        let new = &all[added];
        let old: Vec<_> = all.iter().filter(|replica| replica.id() != new.id()).collect();
        let before = others(&peers, new.id());
        for replica in &old {
            replica.start(&before);
        }
        assert_they_talk(old[0], old[1], 1).await;
        new.start(&peers);
        for replica in &old {
            assert_eq!(replica.transport.set_peers(peers.to_vec()).unwrap(), changes(1, 0, 0));
            assert_eq!(replica.transport.set_peers(peers.to_vec()).unwrap(), changes(0, 0, 0));
            assert_they_talk(replica, new, 1).await;
        }
        assert_eq!(old[0].recorder.ups_and_downs(old[1].id()), (1, 0));
        assert_eq!(old[0].transport.peers().len(), 2);
    }
    drop((all, peers));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_removed_is_cut_off_at_once_and_comes_back_when_it_is_listed_again() {
    for removed in [0, 2] {
        let replicas = connected::<3>().await;
        let peers = replicas.each_ref().map(Replica::as_peer);
        let (stays, gone) = (&replicas[1], &replicas[removed]);
        let rest = others(&peers, gone.id());
        assert_eq!(stays.transport.set_peers(rest.clone()).unwrap(), changes(0, 0, 1));
        // From this moment on nothing is sent to it.
        let sent = stays.outbox().send(gone.id(), message(FlowType::Advert, 1));
        assert_eq!(sent, Err(SendError::NotConnected(gone.id())));
        stays.until_down(gone.id(), 1).await;
        gone.until_down(stays.id(), 1).await;
        // It dials on in vain.
        until("it is refused", || gone.transport.counters().failed_dials > 1).await;
        until_said(stays.id(), "does not list our key").await;
        assert_eq!(stays.recorder.ups_and_downs(gone.id()), (1, 1));
        assert!(stays.transport.peers().iter().all(|peer| peer.node_id != gone.id()));

        assert_eq!(stays.transport.set_peers(peers.to_vec()).unwrap(), changes(1, 0, 0));
        assert_they_talk(stays, gone, 2).await;
        stays.recorder.assert_in_order(gone.id());
        let third = &replicas[2 - removed];
        assert_eq!(stays.recorder.ups_and_downs(third.id()), (1, 0), "nobody else notices");
    }
}

/// A peer that is removed and listed again while its departure is still to be taken arrives after that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_departure_comes_before_the_next_arrival() {
    let [one, two] = connected().await;
    for round in 1..4 {
        one.recorder.hold(FlowType::Transport);
        one.transport.set_peers(Vec::new()).unwrap();
        one.recorder.until_one_waits().await;
        for _ in 0..3 {
            one.transport.set_peers(vec![two.as_peer()]).unwrap();
            one.transport.set_peers(Vec::new()).unwrap();
        }
        one.transport.set_peers(vec![two.as_peer()]).unwrap();
        one.recorder.release(FlowType::Transport);
        one.until_down(two.id(), round).await;
        one.until_up(two.id(), round + 1).await;
        one.recorder.assert_in_order(two.id());
    }
    assert!(one.transport.shutdown(LIMIT).await.is_clean());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_has_moved_is_dialled_where_it_is_now() {
    for moves in [0, 1] {
        let mut replicas = Vec::from(connected::<2>().await);
        let moves = replicas.remove(moves);
        let stays = replicas.remove(0);
        let identity = moves.identity.clone();
        moves.transport.shutdown(LIMIT).await;
        drop(moves);
        stays.until_down(identity.node_id(), 1).await;
        // On another port, and it cannot dial us itself.
        let again = Replica::bind(&identity);
        again.start(&[crate::replica::nowhere(&stays.identity)]);
        assert_eq!(stays.transport.set_peers(vec![again.as_peer()]).unwrap(), changes(0, 1, 0));
        assert_they_talk(&stays, &again, 1).await;
        let status = stays.transport.peers()[0].clone();
        assert_eq!(status.state, PeerState::Connected);
        assert_eq!(status.remote, Some(again.transport.local_addr()));
        assert_eq!(stays.recorder.ups_and_downs(identity.node_id()), (2, 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn changes_follow_each_other() {
    let replicas = connected::<3>().await;
    let peers = replicas.each_ref().map(Replica::as_peer);
    std::thread::scope(|scope| {
        for caller in 0..4 {
            let (runtime, replica, peers) =
                (tokio::runtime::Handle::current(), &replicas[0], &peers);
            scope.spawn(move || {
                let _inside = runtime.enter();
                for call in 0..50 {
                    let without = peers[1 + (caller + call) % 2].node_id;
                    let list: Vec<Peer> = others(peers, without);
                    replica.transport.set_peers(list).unwrap();
                }
            });
        }
    });
    replicas[0].transport.set_peers(peers.to_vec()).unwrap();
    for other in &replicas[1..] {
        assert_they_talk(&replicas[0], other, 3).await;
        replicas[0].recorder.assert_in_order(other.id());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_makes_no_sense_changes_nothing() {
    let [one, two] = identities().map(|identity| Replica::bind(&identity));
    let error = one.transport.set_peers(vec![two.as_peer()]).unwrap_err();
    assert!(matches!(error, StartError::NotStarted), "{error}");
    one.start(&[two.as_peer()]);
    let twice = vec![two.as_peer(), two.as_peer()];
    let error = one.transport.set_peers(twice).unwrap_err();
    assert!(matches!(error, StartError::Duplicate(_)), "{error}");
    assert_eq!(one.transport.peers().len(), 1);
    one.transport.shutdown(LIMIT).await;
    let error = one.transport.set_peers(Vec::new()).unwrap_err();
    assert!(matches!(error, StartError::ShutDown), "{error}");
}
