//! What a user's simulation does, through its public face.

use std::{collections::HashSet, fmt::Debug, sync::Arc};

use super::*;
use crate::config::DEFAULT_DROP_NOTICE_INTERVAL;
use crate::{
    ArtifactDestination, ArtifactFilter, Engine, FlowConfig, FlowWorker, Gossip, GossipAdvert,
    GossipChunk, GossipChunkRequest, MessageHandler, MetricsRegistry, NodeId, Outcome,
    P2PThreadJoiner, PeerHandler, Slot, Submitted, WaitStrategy, sync::Mutex,
};

const SECOND: Duration = Duration::from_secs(1);
const SEEDS: u64 = 200;

/// What happened, in order.
struct Notes<T>(Arc<Mutex<Vec<T>>>);

impl<T> Clone for Notes<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Notes<T> {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Vec::new())))
    }

    fn add(&self, note: T) {
        self.0.lock().push(note);
    }

    fn take(&self) -> Vec<T> {
        mem::take(&mut self.0.lock())
    }
}

fn config() -> FlowConfig {
    FlowConfig::new(10).with_threads(1)
}

fn flow<M: Send + 'static>(
    config: &FlowConfig,
    handler: impl MessageHandler<M, u8>,
) -> FlowWorker<M, u8> {
    FlowWorker::new("tested", config, &MetricsRegistry::new(), handler).expect("it is in range")
}

/// The text of the panic that this must end with.
fn panic_of<R: Debug>(run: impl FnOnce() -> R) -> String {
    let payload = catch_unwind(AssertUnwindSafe(run)).expect_err("it panics");
    text(payload.as_ref()).to_owned()
}

/// Peers that come, send, break off and come again, in two flows with handlers that take their time; all that the
/// program saw, and when.
fn trace(simulation: Simulation) -> Vec<(Duration, String)> {
    struct Program(Notes<(Duration, String)>, Simulation);
    impl PeerHandler<u8> for Program {
        fn on_peer_up(&self, peer: &u8) {
            self.0.add((self.1.now(), format!("{peer} up")));
        }

        fn on_peer_down(&self, peer: &u8) {
            self.0.add((self.1.now(), format!("{peer} down")));
        }

        fn on_messages_dropped(&self, flow: &'static str, peer: &u8, count: u64) {
            self.0.add((self.1.now(), format!("{peer} lost {count} in {flow}")));
        }
    }

    let (notes, registry) = (Notes::new(), MetricsRegistry::new());
    let mut builder = Engine::<u8>::builder(&registry);
    let flows = ["first", "second"].map(|name| {
        let notes = notes.clone();
        let config = FlowConfig::new(1 + simulation.pick(4))
            .with_peer_threads(1)
            .with_max_age(Some(Duration::from_millis(2)));
        let handler = move |peer: &u8, (connection, message): (u8, u32)| {
            notes.add((simulation.now(), format!("{peer} {name} {connection} {message}")));
            if simulation.pick(2) == 0 {
                simulation.advance(Duration::from_micros(700));
            }
        };
        builder.flow(name, config, handler).expect("it is in range")
    });
    let engine = builder.build_with(Program(notes.clone(), simulation)).expect("it is in range");
    for peer in 0..3 {
        let (engine, flows) = (engine.clone(), flows.clone());
        simulation.spawn(async move {
            for number in 0..2 {
                let connection = async {
                    let Ok(connection) = engine.connect(peer).await else { return };
                    for message in 0..6 {
                        let flow = &flows[simulation.pick(2)];
                        let _ = flow.execute(connection.id(), (number, message)).await;
                    }
                    connection.close().await;
                };
                let _ = simulation.may_drop(connection).await;
            }
        });
    }
    assert_eq!(simulation.run_until_idle(), 0, "a task waits for ever");
    simulation.advance(SECOND);
    assert!(engine.shutdown(SECOND).is_clean());
    registry.snapshot().verify().unwrap();
    notes.take()
}

#[test]
fn the_same_seed_makes_the_same_run_and_another_another() {
    let runs: Vec<_> = (0..20).map(|seed| Simulation::run(seed, trace)).collect();
    let again: Vec<_> = (0..20).map(|seed| Simulation::run(seed, trace)).collect();
    assert_eq!(runs, again);
    assert_eq!(runs.iter().collect::<HashSet<_>>().len(), runs.len());
}

#[test]
fn nothing_of_a_connection_starts_after_its_end_or_before_its_beginning() {
    let (mut ends, mut losses) = (0, 0);
    for seed in 0..SEEDS {
        let mut connections = [None::<u8>; 3];
        for (_, note) in Simulation::run(seed, trace) {
            let words: Vec<_> = note.split(' ').collect();
            let peer: usize = words[0].parse().unwrap();
            match words[1] {
                "up" => {
                    assert!(connections[peer].replace(u8::MAX).is_none(), "seed {seed}: {note}")
                }
                "down" => assert!(connections[peer].take().is_some(), "seed {seed}: {note}"),
                "lost" => losses += 1,
                _ => {
                    let number: u8 = words[2].parse().unwrap();
                    let connection =
                        connections[peer].as_mut().unwrap_or_else(|| panic!("seed {seed}: {note}"));
                    // The first says which connection it is.
                    if *connection == u8::MAX {
                        *connection = number;
                    }
                    assert_eq!(*connection, number, "seed {seed}: {note}");
                }
            }
            ends += usize::from(words[1] == "down");
        }
        assert_eq!(connections, [None; 3], "seed {seed}: all have gone");
    }
    assert!(ends > 100 && losses > 100, "{ends} ends and {losses} losses are no trial");
}

#[test]
fn messages_of_two_flows_run_in_all_orders_and_those_of_one_in_their_own() {
    let run = |simulation: Simulation| {
        let notes = Notes::new();
        let flows = [0, 1].map(|number| {
            let notes = notes.clone();
            flow(&config(), move |_: &u8, message: u8| notes.add((number, message)))
        });
        for message in 0..3 {
            flows.iter().for_each(|flow| flow.try_execute(7, message).expect("there is capacity"));
        }
        simulation.run_until_idle();
        for flow in &flows {
            assert!(flow.shutdown(SECOND).is_clean());
        }
        notes.take()
    };
    let orders: HashSet<Vec<(u8, u8)>> =
        (0..SEEDS).map(|seed| Simulation::run(seed, run)).collect();
    // Of six things, of which three stand in one order and three in another.
    assert_eq!(orders.len(), 20);
    for order in orders {
        for flow in 0..2 {
            let messages = order.iter().filter(|(of, _)| *of == flow).map(|(_, message)| *message);
            assert!(messages.eq(0..3), "{order:?}");
        }
    }
}

#[test]
fn time_that_a_handler_takes_makes_messages_too_old_and_time_that_passes_brings_the_notice() {
    struct Program(Notes<u64>);
    impl PeerHandler<u8> for Program {
        fn on_messages_dropped(&self, _: &'static str, _: &u8, count: u64) {
            self.0.add(count);
        }
    }

    Simulation::for_each_seed(0..20, |simulation| {
        let (notes, registry) = (Notes::new(), MetricsRegistry::new());
        let mut builder = Engine::<u8>::builder(&registry);
        let config = config().with_max_age(Some(Duration::from_millis(10)));
        let handler = move |_: &u8, (): ()| simulation.advance(Duration::from_millis(20));
        let flow = builder.flow("tested", config, handler).expect("it is in range");
        let engine = builder.build_with(Program(notes.clone())).expect("it is in range");
        simulation.spawn(async move {
            let connection = engine.connect(7).await.expect("it is open");
            for _ in 0..2 {
                flow.try_execute(7, ()).expect("there is capacity");
            }
            simulation.pause().await;
            std::future::pending::<()>().await;
            drop((engine, flow, connection));
        });
        assert_eq!(simulation.run_until_idle(), 1, "the task waits for ever");
        let counts = registry.snapshot();
        let counts = counts.flow("tested");
        assert_eq!((counts.handled(), counts.count(Outcome::Expired)), (1, 1));
        assert!(notes.take().is_empty(), "nobody has looked");
        simulation.advance(DEFAULT_DROP_NOTICE_INTERVAL);
        assert_eq!(notes.take(), [1]);
        assert!(simulation.now() >= Duration::from_millis(20) + DEFAULT_DROP_NOTICE_INTERVAL);
    });
}

#[test]
fn a_panic_of_a_handler_is_counted_and_one_of_a_task_fails_the_run() {
    let handler = |_: &u8, panics: bool| assert!(!panics, "on purpose");
    Simulation::run(0, |simulation| {
        let flow = flow(&config(), handler);
        flow.try_execute(7, true).expect("there is capacity");
        flow.try_execute(7, false).expect("there is capacity");
        simulation.run_until_idle();
        assert_eq!((flow.snapshot().panicked(), flow.snapshot().handled()), (1, 1));
    });
    let mut seed = 0;
    let failed = panic_of(|| {
        Simulation::for_each_seed(3..5, |simulation| {
            seed = simulation.seed();
            // In the middle of the handler, too.
            let handler = move |_: &u8, (): ()| simulation.advance(SECOND);
            let flow = flow(&config(), handler);
            flow.try_execute(7, ()).expect("there is capacity");
            simulation.spawn(async { panic!("on purpose") });
            simulation.run_until_idle();
        });
    });
    let expected = format!("seed {seed}: on purpose; GOSSIP_SIMULATION_SEED={seed} repeats it");
    assert_eq!(failed, expected);
}

#[test]
fn futures_are_dropped_and_count_as_cancelled() {
    let (mut dropped, mut admitted) = (0, 0);
    for seed in 0..SEEDS {
        Simulation::run(seed, |simulation| {
            let flow = Arc::new(flow(&FlowConfig::new(1).with_threads(1), |_: &u8, (): ()| {}));
            let notes = Notes::new();
            for _ in 0..4 {
                let (flow, notes) = (Arc::clone(&flow), notes.clone());
                simulation.spawn(async move {
                    let submitted = simulation.may_drop(flow.execute(7, ())).await;
                    notes.add(submitted.map(|submitted| submitted.expect("it is open")));
                });
            }
            assert_eq!(simulation.run_until_idle(), 0, "all are decided");
            let notes = notes.take();
            let seen =
                notes.iter().filter(|note| **note == Some(Submitted::Admitted)).count() as u64;
            assert_eq!(notes.len(), 4);
            let counts = flow.snapshot();
            let cancelled = counts.count(Outcome::WaitCancelled);
            // One that is dropped may have been admitted.
            assert!(cancelled <= 4 - seen && counts.handled() == 4 - cancelled, "{counts:?}");
            dropped += cancelled;
            admitted += 4 - seen - cancelled;
        });
    }
    assert!(dropped > 5 && admitted > 5, "{dropped} dropped and {admitted} admitted is no trial");
}

#[test]
fn a_thread_that_waits_has_others_go_on() {
    Simulation::run(0, |simulation| {
        let slots = Notes::new();
        let held = slots.clone();
        let flow = flow(&FlowConfig::new(1).with_threads(1), move |_: &u8, holds: bool| {
            if holds {
                held.add(Slot::take());
            }
        });
        flow.execute(7, false).wait().expect("it is open");
        flow.execute(7, true).wait().expect("it is open");
        simulation.run_until_idle();
        let why = panic_of(|| flow.execute(7, true).wait());
        assert_eq!(why, "a thread waits for something that never happens");
        // Nothing ends what is held, but time passes.
        let began = simulation.now();
        let report = flow.shutdown(10 * SECOND);
        assert_eq!((report.running, report.joined), (1, true));
        assert!((10 * SECOND..11 * SECOND).contains(&(simulation.now() - began)));
        drop(slots.take());
        assert!(flow.shutdown(Duration::ZERO).is_clean());
    });
}

#[test]
fn what_never_ends_is_said() {
    let why = panic_of(|| {
        Simulation::run(0, |simulation| {
            simulation.spawn(async move {
                loop {
                    simulation.pause().await;
                }
            });
            simulation.run_until_idle()
        })
    });
    assert_eq!(why, format!("there is no end after {MAX_STEPS} steps"));
}

#[test]
fn workers_that_spin_end_as_well() {
    Simulation::run(0, |simulation| {
        let config = config().with_wait_strategy(WaitStrategy::Spin);
        let flow = flow(&config, |_: &u8, (): ()| {});
        flow.try_execute(7, ()).expect("there is capacity");
        simulation.run_until_idle();
        assert_eq!(flow.snapshot().handled(), 1);
    });
}

#[test]
fn a_simulation_is_that_of_one_thread_until_it_ends() {
    let flow_of = |simulation: Simulation| (simulation, flow(&config(), |_: &u8, (): ()| {}));
    let (over, flow) = Simulation::run(0, flow_of);
    assert!(panic_of(|| over.now()).starts_with("the simulation has ended"));
    Simulation::run(0, |simulation| {
        // It wakes no worker of this one.
        flow.try_execute(7, ()).expect("there is capacity");
        let (_, of_this) = flow_of(simulation);
        of_this.try_execute(7, ()).expect("there is capacity");
        simulation.run_until_idle();
        assert_eq!((flow.snapshot().handled(), of_this.snapshot().handled()), (0, 1));
        assert!(panic_of(|| over.pick(1)).starts_with("the simulation has ended"));
        assert!(panic_of(|| Simulation::run(1, |_| ())).ends_with("on this thread already"));
        let of_another = std::thread::spawn(move || simulation.now()).join();
        assert!(of_another.is_err(), "it is that of another thread");
        drop(flow);
        simulation.run_until_idle();
    });
}

#[test]
fn the_timer_calls_by_the_simulations_time() {
    struct Replica(Notes<Duration>, Simulation);
    impl Gossip for Replica {
        type GossipAdvert = GossipAdvert;
        type GossipChunkRequest = GossipChunkRequest;
        type GossipChunk = GossipChunk;
        type GossipRetransmissionRequest = ArtifactFilter;

        fn on_gossip_advert(&self, _: GossipAdvert, _: NodeId) {}
        fn on_chunk_request(&self, _: GossipChunkRequest, _: NodeId) {}
        fn on_gossip_chunk(&self, _: GossipChunk, _: NodeId) {}
        fn on_gossip_retransmission_request(&self, _: ArtifactFilter, _: NodeId) {}
        fn on_gossip_timer(&self) {
            self.0.add(self.1.now());
        }
        fn broadcast_advert(&self, _: GossipAdvert, _: ArtifactDestination) {}
    }

    Simulation::run(0, |simulation| {
        let notes = Notes::new();
        let replica = Arc::new(Replica(notes.clone(), simulation));
        let timer = P2PThreadJoiner::new(&MetricsRegistry::new(), Arc::clone(&replica)).unwrap();
        simulation.advance(SECOND);
        let calls = notes.take();
        assert_eq!(calls.len(), 10);
        let late =
            (1..).zip(calls).map(|(number, call)| call - number * Duration::from_millis(100));
        assert!(late.into_iter().all(|late| late < Duration::from_micros(10)));
        drop(timer);
        simulation.advance(SECOND);
        assert!(notes.take().is_empty());
        assert_eq!(Arc::strong_count(&replica), 1);
    });
}
