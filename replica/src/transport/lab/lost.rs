//! A system that refuses to receive: nothing can be done from within, and it has to be known.

use std::time::Duration;

use tokio::time::timeout;

use super::{fetch::source, line::Weather, network::Network};
use crate::{
    identity::Identity,
    transport::{Transport, TransportOptions},
};

#[tokio::test(start_paused = true)]
async fn a_network_that_is_lost_is_a_failure_and_said() {
    let network = Network::new(Weather::default());
    let options = TransportOptions::default();
    let transport = Transport::on(&Identity::generate(), network.host(), options).unwrap();
    transport.start(Vec::new(), source(transport.outbox(), 1)).unwrap();
    let a_while = Duration::from_secs(60);
    timeout(a_while, transport.network_lost()).await.expect_err("it is there");
    assert_eq!(transport.failed_tasks(), 0);

    network.break_down();
    timeout(a_while, transport.network_lost()).await.expect("it is lost");
    assert_eq!(transport.failed_tasks(), 1);
    assert!(!transport.shutdown(a_while).await.is_clean());
}

#[tokio::test(start_paused = true)]
async fn a_network_that_is_not_lost_is_none_at_the_end_either() {
    let network = Network::new(Weather::default());
    let options = TransportOptions::default();
    let transport = Transport::on(&Identity::generate(), network.host(), options).unwrap();
    transport.start(Vec::new(), source(transport.outbox(), 1)).unwrap();
    let a_while = Duration::from_secs(60);
    assert!(transport.shutdown(a_while).await.is_clean());
    timeout(a_while, transport.network_lost()).await.expect_err("it was closed, not lost");
}
