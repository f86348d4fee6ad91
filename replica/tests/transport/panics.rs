//! Tasks that panic, by way of a handler that does.

use gossip_engine::FlowType;

use crate::{
    recorder::LIMIT,
    replica::{Replica, assert_they_talk, connected, identities, message, until_said},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_whose_task_panics_is_connected_again() {
    for panics in [0, 1] {
        let replicas = identities::<2>().map(|identity| Replica::bind(&identity));
        let [one, two] = &replicas;
        let broken = &replicas[panics];
        broken.recorder.panic_next(FlowType::Transport);
        one.start(&[two.as_peer()]);
        two.start(&[one.as_peer()]);
        // It has taken none of the connection that it panicked over.
        broken.until_up(replicas[1 - panics].id(), 1).await;
        assert_they_talk(one, two, 1).await;
        assert_eq!(broken.transport.failed_tasks(), 1);
        until_said(replicas[1 - panics].id(), "has panicked").await;
        until_said(broken.id(), "has failed within").await;
        let report = broken.transport.shutdown(LIMIT).await;
        assert!(!report.is_clean() && report.failed_tasks == 1, "{report:?}");
        assert!(replicas[1 - panics].transport.shutdown(LIMIT).await.is_clean());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_departure_that_panics_is_announced_again() {
    let [one, two] = connected().await;
    one.recorder.panic_next(FlowType::Transport);
    let (identity, address) = (two.identity.clone(), two.transport.local_addr());
    two.transport.shutdown(LIMIT).await;
    drop(two);
    one.until_down(identity.node_id(), 1).await;
    let again = Replica::bind_again(&identity, address).await;
    again.start(&[one.as_peer()]);
    assert_they_talk(&one, &again, 1).await;
    one.recorder.assert_in_order(identity.node_id());
    assert_eq!(one.transport.failed_tasks(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_panics_ends_its_connection_and_is_counted() {
    let [one, two] = connected().await;
    two.recorder.panic_next(FlowType::Advert);
    one.outbox().send(two.id(), message(FlowType::Advert, 1)).unwrap();
    two.until_down(one.id(), 1).await;
    one.until_down(two.id(), 1).await;
    // It is not told that the other has no capacity.
    until_said(two.id(), "it has failed within, on our connection").await;
    until_said(one.id(), "this replica has failed within, on its connection").await;
    assert_they_talk(&one, &two, 2).await;
    assert_eq!(two.transport.failed_tasks(), 1);
    two.recorder.assert_in_order(one.id());
    assert!(!two.transport.shutdown(LIMIT).await.is_clean());
}
