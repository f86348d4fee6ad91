//! What is wrong, if anything, and the figures of the run.

#![expect(clippy::print_stdout, reason = "a bench's output is its purpose")]

use std::{process, time::Duration};

use gossip_engine::{FlowType, MetricsSnapshot, Outcome};
use serde_json::{Map, Value, json};
use strum::IntoEnumIterator;

use super::{
    ALLOWANCE, PEERS, ledger,
    options::Options,
    record::{Count, Record},
};

/// Ends the program, since waiting any longer is of no use.
pub(crate) fn give_up(what: &str, snapshot: &MetricsSnapshot) -> ! {
    println!("FAULT: {what}; left is:");
    for flow in FlowType::iter() {
        let own = snapshot.flow(flow);
        println!(
            "  {flow}: in flight {}, queued {}, bytes {}, waiting {}, oldest {:?}, workers {}",
            own.in_flight,
            own.queued,
            own.bytes_in_flight,
            own.waiting,
            own.oldest_age,
            own.live_workers,
        );
    }
    println!("  own adverts: in flight {}", snapshot.broadcast.in_flight);
    process::exit(1)
}

/// To be asked at rest.
pub(crate) fn of_counts(snapshot: &MetricsSnapshot, record: &Record) -> Vec<String> {
    let mut faults = Vec::new();
    if let Err(error) = snapshot.verify() {
        faults.push(format!("the ledger does not add up: {error}"));
    }
    let mut expect = |what: String, found: u64, expected: u64| {
        if found != expected {
            faults.push(format!("{what}: {found} is not {expected}"));
        }
    };
    expect("events received and calls made".into(), snapshot.received, record.calls.get());
    for flow in FlowType::iter() {
        let (own, place) = (snapshot.flow(flow), flow as usize);
        expect(format!("{flow}: in flight at rest"), own.in_flight as u64, 0);
        expect(format!("{flow}: queued at rest"), own.queued as u64, 0);
        expect(format!("{flow}: bytes in flight at rest"), own.bytes_in_flight as u64, 0);
        expect(format!("{flow}: waiting at rest"), own.waiting as u64, 0);
        let ran = own.handled() + own.panicked();
        expect(format!("{flow}: handled or panicked, and run"), ran, record.runs[place].get());
        let panics = record.panics[place].get();
        expect(format!("{flow}: panicked, and told to"), own.panicked(), panics);
        expect(format!("{flow}: panics outside of messages"), own.stray_panics, 0);
    }
    let broadcast = snapshot.broadcast.handled() + snapshot.broadcast.panicked();
    expect("own adverts broadcast, and run".into(), broadcast, record.broadcasts.get());
    for (what, count) in record.violations() {
        expect(what.into(), count, 0);
    }
    faults
}

pub(crate) fn of_memory(memory: [Option<u64>; 2]) -> Option<String> {
    let [Some(before), Some(after)] = memory else { return None };
    let growth = after.saturating_sub(before);
    (growth > ALLOWANCE).then(|| {
        let mebibytes = |bytes| bytes >> 20;
        format!(
            "memory has grown from {} to {} MiB, by more than {} MiB",
            mebibytes(before),
            mebibytes(after),
            mebibytes(ALLOWANCE),
        )
    })
}

pub(crate) fn row(
    options: &Options,
    load: Duration,
    snapshot: &MetricsSnapshot,
    record: &Record,
    memory: [Option<u64>; 2],
    faults: &[String],
) -> Value {
    let sum = ledger::all(snapshot);
    let ends: Map<String, Value> =
        Outcome::iter().map(|end| (end.to_string(), sum.count(end).into())).collect();
    let counts: [(&str, &Count); 9] = [
        ("resolved", &record.resolved),
        ("refused", &record.refused),
        ("futures_dropped", &record.given_up),
        ("reconnects", &record.reconnects),
        ("floods", &record.floods),
        ("changes", &record.changes),
        ("replacements", &record.replacements),
        ("unjudged", &record.unjudged),
        ("ran_late", &record.ran_late),
    ];
    let mut row = json!({
        "seed": options.seed,
        "producers": options.producers,
        "peers": PEERS,
        "seconds": load.as_secs_f64(),
        "received": snapshot.received,
        "malformed": snapshot.malformed,
        "notices": snapshot.notices,
        "admitted": sum.admitted,
        "ends": ends,
        "broadcast": snapshot.broadcast.finished(),
        "timer_ticks": snapshot.timer_ticks,
        "wait_p99_ns": sum.wait.quantile(0.99).as_nanos() as u64,
        "resident_after_a_fifth": memory[0],
        "resident_at_the_end": memory[1],
        "faults": faults,
    });
    for (name, count) in counts {
        row[name] = count.get().into();
    }
    row
}
