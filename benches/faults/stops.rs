//! How long it takes to stop a handler, with a hundred messages in it or none.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use futures_util::future::join_all;
use gossip_engine::{ChannelConfig, MetricsRegistry};
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use tower::Service;

use super::{
    DEADLINE,
    replica::{Replica, advert, event, handler, peer},
};

const LOADED: usize = 100;
const PEERS: usize = 10;

pub(crate) fn rows(cycles: usize) -> Vec<Value> {
    [LOADED, 0].into_iter().map(|messages| row(cycles, messages)).collect()
}

fn row(cycles: usize, messages: usize) -> Value {
    let advert = advert();
    let mut times = Histogram::<u64>::new(3).expect("the precision is in range");
    for _ in 0..cycles {
        let replica = Arc::new(Replica::default());
        let registry = MetricsRegistry::new();
        let mut handler = handler(ChannelConfig::default(), &registry, &replica);
        let calls = (0..messages).map(|number| handler.call(event(peer(number % PEERS), &advert)));
        for outcome in futures_executor::block_on(join_all(calls)) {
            outcome.expect("there is capacity");
        }
        let started = Instant::now();
        let report = handler.shutdown(DEADLINE);
        times.record(started.elapsed().as_nanos() as u64).expect("it grows as needed");
        assert!(report.is_clean(), "a stop that is not clean: {report:?}");
        assert_eq!(replica.called.load(Ordering::Relaxed), messages, "what was admitted ran");
        registry.snapshot().verify().expect("the ledger adds up");
    }
    json!({
        "case": "stops",
        "messages": messages,
        "cycles": cycles,
        "p50": times.value_at_quantile(0.5),
        "p99": times.value_at_quantile(0.99),
        "max": times.max(),
    })
}
