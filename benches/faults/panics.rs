//! What a handler that panics costs, beside one that returns an error.

use std::{
    hint::black_box,
    panic::{panic_any, resume_unwind, set_hook, take_hook},
    time::Instant,
};

use gossip_engine::{FlowConfig, FlowType, FlowWorker, MetricsRegistry, NodeId};
use serde_json::{Value, json};

use super::{DEADLINE, replica::wait_until};
use crate::harness::{rounds::interleaved, statistics::Quartiles};

/// One message in so many is faults.
const TROUBLE: usize = 100;
const THREADS: usize = 2;
const PEERS: usize = 16;

struct Deliberate;

#[derive(Clone, Copy)]
enum Way {
    Error,
    Unwind,
    Panic,
}

fn fails(way: Way, number: usize) -> Result<(), Deliberate> {
    match way {
        _ if !number.is_multiple_of(TROUBLE) => Ok(()),
        Way::Error => Err(Deliberate),
        // Does not call the panic hook.
        Way::Unwind => resume_unwind(Box::new(Deliberate)),
        Way::Panic => panic_any(Deliberate),
    }
}

/// Nanoseconds for each message.
fn run(way: Way, messages: usize) -> f64 {
    let config = FlowConfig::new(1_000).with_threads(THREADS);
    let handler = move |_: &NodeId, number: usize| {
        let _ = black_box(fails(way, number));
    };
    let registry = MetricsRegistry::new();
    let flow = FlowWorker::new(FlowType::Advert, &config, &registry, handler)
        .expect("the configuration is in range");
    let started = Instant::now();
    futures_executor::block_on(async {
        for number in 0..messages {
            let peer = NodeId::new([(number % PEERS) as u8; 32]);
            assert!(flow.execute(peer, number).await.is_ok(), "void: refused");
        }
    });
    wait_until("all messages have run", || flow.snapshot().in_flight == 0);
    let took = started.elapsed();
    let snapshot = flow.snapshot();
    let panics = if matches!(way, Way::Error) { 0 } else { messages.div_ceil(TROUBLE) };
    assert_eq!(snapshot.panicked(), panics as u64, "each panic is counted");
    assert_eq!(snapshot.finished(), messages as u64, "each message has come to its end");
    assert_eq!(snapshot.live_workers, THREADS, "all threads live");
    assert!(flow.shutdown(DEADLINE).is_clean(), "it can be stopped");
    took.as_nanos() as f64 / messages as f64
}

pub(crate) fn rows(messages: usize, rounds: usize) -> Vec<Value> {
    let hook = take_hook();
    set_hook(Box::new(move |info| {
        if !info.payload().is::<Deliberate>() {
            hook(info);
        }
    }));
    let ways = [("error", Way::Error), ("resume_unwind", Way::Unwind), ("panic", Way::Panic)];
    let (found, others) = interleaved(&ways, rounds, |(_, way), _| run(*way, messages));
    ways.iter()
        .zip(&found)
        .map(|((name, _), times)| {
            json!({
                "case": "panics",
                "way": name,
                "messages": messages,
                "faults": messages.div_ceil(TROUBLE),
                "rounds": rounds,
                "ns_per_message": Quartiles::of(times.iter().copied()).json(),
                "to_error": Quartiles::of_ratio(times, &found[0]).json(),
                "others_share": others,
            })
        })
        .collect()
}
