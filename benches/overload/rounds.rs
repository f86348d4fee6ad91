//! A round of one contender: messages that are due, whether it is ready or not.

use std::{
    thread,
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use gossip_engine::{
    FlowConfig, FlowSnapshot, FlowType, FlowWorker, MetricsRegistry, NodeId, Outcome,
    OverloadPolicy,
};
use hdrhistogram::Histogram;

use super::{BACKLOG, LIMIT, MAX_AGE, PEERS, QUOTA, SEED, SERVICE, SMALL_LIMIT};
use crate::{
    contenders::{Contender, baseline::Baseline, channel::Channel},
    harness::{
        clock::{LEAD, Stopwatch, poisson},
        cores,
        ledger::Message,
        streams::{Arrival, Between, merged, submit},
    },
};

const WORKERS: usize = 1;
const LOOK_EVERY: Duration = Duration::from_micros(200);
const DEADLINE: Duration = Duration::from_secs(60);
/// A lane is made with its peer's first message, and one with room for seconds of work is megabytes that
/// the system gives page by page. So each peer submits one before the schedule begins, which has this
/// number and this time for it.
const FIRST: usize = usize::MAX;
const WARMING: Duration = Duration::from_millis(200);

pub(crate) struct Entry {
    pub(crate) name: &'static str,
    kind: Kind,
}

enum Kind {
    Engine(&'static FlowConfig),
    /// A contender that handles whatever it is given.
    Other(fn(&Stopwatch, &[Arrival], Between)),
}

const CONFIG: FlowConfig = FlowConfig::new(LIMIT).with_peer_quota(QUOTA).with_threads(WORKERS);
const AGE: FlowConfig = CONFIG.with_max_age(Some(MAX_AGE));
const DROP_OLDEST: FlowConfig = CONFIG
    .with_max_inflight_requests(SMALL_LIMIT)
    .with_peer_quota(SMALL_LIMIT)
    .with_overload_policy(OverloadPolicy::DropOldest);

pub(crate) const ENTRIES: [Entry; 5] = [
    Entry { name: "engine, age", kind: Kind::Engine(&AGE) },
    Entry { name: "engine, drop oldest", kind: Kind::Engine(&DROP_OLDEST) },
    Entry { name: "engine", kind: Kind::Engine(&CONFIG) },
    Entry { name: "baseline", kind: Kind::Other(bring_all::<Baseline<Stopwatch>>) },
    Entry { name: "channel", kind: Kind::Other(bring_all::<Channel>) },
];

/// What came of one round.
pub(crate) struct Round {
    pub(crate) submitted: u64,
    /// Of the messages that were started.
    pub(crate) waits: Histogram<u64>,
    pub(crate) goodput: f64,
    pub(crate) fresh: f64,
    /// Messages that were old when they started, or were dropped.
    pub(crate) late: u64,
    /// After the last arrival.
    pub(crate) last_drop: Option<Duration>,
    /// For how long handlers were stopped within [`BACKLOG`], at the most.
    pub(crate) stopped: Duration,
    /// `None` of a contender that does not count.
    flow: Option<Counted>,
}

/// What the engine has counted since each peer has a lane.
struct Counted {
    warmed: FlowSnapshot,
    ended: FlowSnapshot,
}

impl Counted {
    fn count(&self, end: Outcome) -> u64 {
        self.ended.count(end) - self.warmed.count(end)
    }
}

impl Round {
    pub(crate) fn count(&self, end: Outcome) -> u64 {
        match &self.flow {
            Some(flow) => flow.count(end),
            None => {
                if end == Outcome::Handled {
                    self.submitted
                } else {
                    0
                }
            }
        }
    }

    /// What the engine says that messages had waited since they were submitted, each peer's first included.
    pub(crate) fn counted_p99(&self) -> Option<Duration> {
        self.flow.as_ref().map(|flow| flow.ended.wait.quantile(0.99))
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.flow.as_ref().map_or(0, |flow| flow.ended.dropped() - flow.warmed.dropped())
    }
}

fn peer(stream: usize) -> NodeId {
    NodeId::new([stream as u8; 32])
}

/// Messages a second that a worker can do, by the engine's, over about so long.
pub(crate) fn capacity(length: Duration) -> f64 {
    let messages = length.div_duration_f64(SERVICE) as usize;
    let stopwatch = Stopwatch::new(messages, SERVICE);
    let arrivals: Vec<Arrival> = (0..messages)
        .map(|sequence| Arrival { due: LEAD + WARMING, stream: sequence % PEERS, sequence })
        .collect();
    run_engine(&CONFIG, &stopwatch, &arrivals, Between::Spin);
    let starts = || (0..messages).map(|sequence| stopwatch.start_of(sequence));
    let first = starts().min().expect("there are messages");
    let took = starts().max().expect("there are messages") - first;
    (messages - 1) as f64 / took.as_secs_f64()
}

/// Brings so many messages a second; `capacity` is what the figures are relative to.
pub(crate) fn run(
    entry: &Entry,
    rate: f64,
    capacity: f64,
    length: Duration,
    between: Between,
    round: u32,
) -> Round {
    let of_peer = (rate * length.as_secs_f64()) as usize / PEERS;
    let gap = Duration::from_secs_f64(PEERS as f64 / rate);
    let schedule = |peer| {
        let dues = poisson(SEED + u64::from(round) * PEERS as u64 + peer as u64, of_peer, gap);
        dues.into_iter().map(|due| WARMING + due).collect()
    };
    let arrivals = merged((0..PEERS).map(schedule));
    let stopwatch = Stopwatch::new(arrivals.len(), SERVICE);
    let (flow, last_drop) = match &entry.kind {
        Kind::Engine(config) => {
            let (flow, last_drop) = run_engine(config, &stopwatch, &arrivals, between);
            (Some(flow), last_drop)
        }
        Kind::Other(bring_all) => {
            bring_all(&stopwatch, &arrivals, between);
            stopwatch.ledger().verify();
            (None, None)
        }
    };
    let last = arrivals.last().expect("there are messages").due;
    let start_of = |arrival: &Arrival| stopwatch.start_of(arrival.sequence);
    let started = || arrivals.iter().filter(|arrival| !start_of(arrival).is_zero());
    let in_time = || started().filter(|arrival| start_of(arrival) <= last);
    let fresh = in_time().filter(|arrival| start_of(arrival) - arrival.due <= MAX_AGE).count();
    let on_time = started()
        .filter(|arrival| start_of(arrival).saturating_sub(arrival.due) <= MAX_AGE)
        .count();
    let possible = capacity * (last - LEAD - WARMING).as_secs_f64();
    Round {
        submitted: arrivals.len() as u64,
        waits: stopwatch.latencies_of(started().map(|arrival| (arrival.sequence, arrival.due))),
        goodput: in_time().count() as f64 / possible,
        fresh: fresh as f64 / possible,
        late: (arrivals.len() - on_time) as u64,
        last_drop,
        stopped: stopwatch.stopped_within(BACKLOG),
        flow,
    }
}

/// A producer that spins is kept apart from the workers.
fn prepare<T>(between: Between, build: impl FnOnce() -> T) -> T {
    match between {
        Between::Spin => {
            cores::others();
            let built = build();
            cores::apart();
            built
        }
        Between::Sleep => {
            cores::anywhere();
            build()
        }
    }
}

fn bring_all<C: Contender<Stopwatch>>(
    stopwatch: &Stopwatch,
    arrivals: &[Arrival],
    between: Between,
) {
    let contender = prepare(between, || C::build(LIMIT, WORKERS, stopwatch.clone()));
    submit(stopwatch.started(), arrivals, between, |arrival| {
        contender.submit(peer(arrival.stream), Message::new(arrival.sequence))
    });
    cores::anywhere();
    contender.finish();
}

fn run_engine(
    config: &FlowConfig,
    stopwatch: &Stopwatch,
    arrivals: &[Arrival],
    between: Between,
) -> (Counted, Option<Duration>) {
    let handler = stopwatch.clone();
    let handler = move |_: &NodeId, message: Message| {
        if message.sequence != FIRST {
            handler.run(message.sequence);
        }
    };
    let flow = prepare(between, || {
        FlowWorker::new(FlowType::Advert, config, &MetricsRegistry::new(), handler)
    })
    .expect("the configuration is in range");
    for stream in 0..PEERS {
        let submitted = flow.execute(peer(stream), Message::new(FIRST)).now_or_never();
        assert!(submitted.is_some_and(|submitted| submitted.is_ok()), "void: there is capacity");
    }
    let warmed = loop {
        let now = flow.snapshot();
        if now.in_flight == 0 {
            break now;
        }
        assert!(
            stopwatch.started().elapsed() < LEAD + WARMING,
            "void: the lanes are not made in time"
        );
        thread::sleep(LOOK_EVERY);
    };
    submit(stopwatch.started(), arrivals, between, |arrival| {
        let submitted = flow.execute(peer(arrival.stream), Message::new(arrival.sequence));
        async { assert!(submitted.await.is_ok(), "void: the flow is open and few wait") }
    });
    cores::anywhere();
    let last_drop = last_drop(&flow);
    let report = flow.shutdown(DEADLINE);
    assert!(report.is_clean(), "void: {report:?}");
    let flow = flow.snapshot();
    flow.verify("Advert").expect("it is at rest");
    assert_eq!(flow.submitted(), (arrivals.len() + PEERS) as u64, "void: a message has no end");
    let flow = Counted { warmed, ended: flow };
    stopwatch.ledger().wait_for(flow.count(Outcome::Handled) as usize);
    (flow, last_drop)
}

/// Waits until the flow is empty; returns when its last message was dropped, if any was at all.
fn last_drop(flow: &FlowWorker<Message>) -> Option<Duration> {
    let over = Instant::now();
    let mut dropped = flow.snapshot().dropped();
    let mut last = (dropped > 0).then_some(Duration::ZERO);
    loop {
        let now = flow.snapshot();
        if now.dropped() != dropped {
            dropped = now.dropped();
            last = Some(over.elapsed());
        }
        if now.in_flight == 0 {
            return last;
        }
        thread::sleep(LOOK_EVERY);
    }
}
