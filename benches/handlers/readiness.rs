//! A transport that goes by the readiness of a tower service: what becomes of messages for a full flow, and what a
//! message costs by a service beside a submitter.

use std::{
    sync::{Arc, mpsc},
    time::Instant,
};

use futures_executor::block_on;
use gossip_engine::{FlowConfig, FlowType, FlowWorker, MetricsRegistry, NodeId};
use serde_json::{Value, json};
use tower::{Service, ServiceBuilder, ServiceExt, load_shed::error::Overloaded};

use super::counted;
use crate::harness::{output, rounds::interleaved, statistics::Quartiles};

const PEER: NodeId = NodeId::new([1; 32]);
const PERMITS: usize = 1_000;
/// Over a flow that has capacity for one more message.
const CALLS: usize = 5;

type Way = fn(Arc<FlowWorker<u64>>, u64);

/// The last is what services are compared with.
const WAYS: [(&str, Way); 2] = [("service", by_service), ("submitter", by_submitter)];

fn by_service(flow: Arc<FlowWorker<u64>>, messages: u64) {
    let mut service = flow.service(PEER);
    block_on(async {
        for message in 0..messages {
            let service = service.ready().await.expect("void: the flow is open");
            service.call(message).await.expect("void: nobody revokes a permit");
        }
    });
}

fn by_submitter(flow: Arc<FlowWorker<u64>>, messages: u64) {
    let mut submitter = flow.submitter_owned(PEER);
    block_on(async {
        for message in 0..messages {
            submitter.execute(message).await.expect("void: the flow is open");
        }
    });
}

/// Nanoseconds a message, from the first call to the return of the last handler.
fn run(way: Way, messages: u64) -> f64 {
    let (last, is_over) = mpsc::channel();
    let handler = move |_: &NodeId, message: u64| {
        if message + 1 == messages {
            last.send(Instant::now()).expect("the bench listens");
        }
    };
    let config = FlowConfig::new(PERMITS).with_peer_quota(PERMITS).with_threads(1);
    let flow = FlowWorker::new(FlowType::Request, &config, &MetricsRegistry::new(), handler);
    let flow = Arc::new(flow.expect("the system gives threads"));
    let started = Instant::now();
    way(Arc::clone(&flow), messages);
    let ended = is_over.recv().expect("void: the last message did not run");
    counted(&flow, messages as usize);
    (ended - started).as_nanos() as f64 / messages as f64
}

/// What `load_shed` does over a flow of two, of which one message runs: admitted, shed, and how many wait.
fn shed() -> (usize, usize, u64) {
    let (leave, leaves) = crossbeam::channel::unbounded::<()>();
    let (started, starts) = mpsc::channel();
    let handler = move |_: &NodeId, _: u64| {
        started.send(()).expect("the bench listens");
        let _ = leaves.recv();
    };
    let config = FlowConfig::new(2).with_peer_quota(2).with_threads(1);
    let flow = FlowWorker::new(FlowType::Request, &config, &MetricsRegistry::new(), handler);
    let flow = Arc::new(flow.expect("the system gives threads"));
    flow.try_execute(PEER, 0).expect("void: there is capacity");
    starts.recv().expect("void: the message did not run");
    let mut service = ServiceBuilder::new().load_shed().service(Arc::clone(&flow).service(PEER));
    let (mut admitted, mut shed) = (0, 0);
    for message in 0..CALLS as u64 {
        match block_on(async { service.ready().await?.call(message).await }) {
            Ok(()) => admitted += 1,
            Err(why) => {
                assert!(why.is::<Overloaded>(), "void: {why}");
                shed += 1;
            }
        }
    }
    let counts = flow.snapshot();
    assert_eq!(counts.in_flight, 1 + admitted, "void: more is in flight than was admitted");
    drop((service, leave));
    counted(&flow, 1 + admitted);
    (admitted, shed, counts.waiting as u64)
}

pub(crate) fn measure() -> Vec<Value> {
    let (messages, rounds) = if output::is_quick() { (2_000, 3) } else { (200_000, 9) };
    let (admitted, refused, waiting) = shed();
    println!(
        "readiness: {CALLS} calls by load_shed: {admitted} admitted, {refused} shed, {waiting} waiting"
    );
    let (times, others) = interleaved(&WAYS, rounds, |(_, way), _| run(*way, messages));
    let submitters = times.last().expect("it is the last way");
    let rows = WAYS.iter().zip(&times).map(|((way, _), times)| {
        let time = Quartiles::of(times.iter().copied());
        println!(
            "{way:>16}: {:.0} [{:.0} {:.0}] ns a message",
            time.median, time.lower, time.upper
        );
        json!({
            "what": "readiness",
            "way": way,
            "calls": CALLS,
            "admitted": admitted,
            "shed": refused,
            "waiting": waiting,
            "permits": PERMITS,
            "messages": messages,
            "rounds": rounds,
            "ns_per_message": time.json(),
            "ratio_to_submitter": Quartiles::of_ratio(times, submitters).json(),
            "others_share": others,
        })
    });
    rows.collect()
}
