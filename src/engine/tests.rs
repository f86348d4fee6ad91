//! An engine of flows, messages and peers of a test's own, on real threads.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    task::{Context, Poll, Waker},
    thread,
    time::{Duration, Instant},
};

use futures_executor::block_on;
use futures_util::FutureExt;

use super::*;
use crate::{
    BuildError, ConfigError, Departure, FlowConfig, Outcome, OverloadPolicy, Submitted,
    sync::{AtomicU64, Ordering},
};

/// Beyond this a test has failed; nothing passes by taking long.
const LIMIT: Duration = Duration::from_secs(60);

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let limit = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < limit, "{what} did not come about");
        thread::yield_now();
    }
}

/// What a test's handlers say.
#[derive(Debug, Eq, PartialEq)]
enum Said {
    Up(String),
    Down(String),
    Dropped(&'static str, String, u64),
    Ran(String, u32),
}

/// Says who comes and goes. A peer called `slow` waits for leave.
struct Peers {
    says: Sender<Said>,
    leave: crossbeam::channel::Receiver<()>,
}

impl PeerHandler<String> for Peers {
    fn on_peer_up(&self, peer: &String) {
        self.says.send(Said::Up(peer.clone())).unwrap();
        if peer == "slow" {
            self.leave.recv_timeout(LIMIT).expect("the test gives leave");
        }
    }

    fn on_peer_down(&self, peer: &String) {
        // The test may be over.
        let _ = self.says.send(Said::Down(peer.clone()));
    }

    fn on_messages_dropped(&self, flow: &'static str, peer: &String, count: u64) {
        self.says.send(Said::Dropped(flow, peer.clone(), count)).unwrap();
    }
}

struct Site {
    registry: MetricsRegistry,
    engine: Engine<String>,
    /// Its messages are said, and wait for leave if they are odd.
    numbers: Arc<FlowWorker<u32, String>>,
    hears: Receiver<Said>,
    leave: crossbeam::channel::Sender<()>,
}

fn site(flow: FlowConfig, peers: FlowConfig) -> Site {
    let (says, hears) = channel();
    let (leave, leaves) = crossbeam::channel::unbounded();
    let registry = MetricsRegistry::new();
    let mut builder =
        Engine::builder(&registry).with_peers_flow(peers).with_drop_notice_interval(Duration::ZERO);
    let handler = {
        let (says, leave) = (says.clone(), leaves.clone());
        move |peer: &String, message: u32| {
            says.send(Said::Ran(peer.clone(), message)).unwrap();
            if message % 2 == 1 {
                leave.recv_timeout(LIMIT).expect("the test gives leave");
            }
        }
    };
    let numbers = builder.flow("numbers", flow, handler).unwrap();
    let engine = builder.build_with(Peers { says, leave: leaves }).unwrap();
    Site { registry, engine, numbers, hears, leave }
}

fn next(site: &Site) -> Said {
    site.hears.recv_timeout(LIMIT).expect("something is said")
}

#[test]
fn a_peer_comes_sends_and_goes_in_order() {
    let site = site(FlowConfig::new(100), FlowConfig::new(10));
    let peer = block_on(site.engine.connect("bern".to_owned())).unwrap();
    assert_eq!(peer.id(), "bern");
    for message in [2, 4, 6] {
        assert_eq!(
            block_on(site.numbers.execute(peer.id(), message)).unwrap(),
            Submitted::Admitted
        );
    }
    let ran = |message| Said::Ran("bern".to_owned(), message);
    assert_eq!(next(&site), Said::Up("bern".to_owned()));
    assert_eq!([(); 3].map(|()| next(&site)), [2, 4, 6].map(ran));
    block_on(peer.close());
    assert_eq!(next(&site), Said::Down("bern".to_owned()));
    let report = site.engine.shutdown(LIMIT);
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(report.flows().map(|(name, _)| name).collect::<Vec<_>>(), ["numbers", "peers"]);
    let counts = site.registry.snapshot();
    counts.verify().unwrap();
    assert_eq!((counts.received, counts.flow("numbers").handled()), (5, 3));
    assert_eq!(counts.flow("peers").handled(), 2);
    assert_eq!(counts.flow("none").submitted(), 0);
}

#[test]
fn every_way_to_submit_is_counted_as_an_event() {
    let narrow =
        FlowConfig::new(1).with_threads(1).with_overload_policy(OverloadPolicy::DropNewest);
    let site = site(narrow, FlowConfig::new(10));
    let peer = "bern".to_owned();
    block_on(site.numbers.execute(&peer, 1)).unwrap();
    assert_eq!(next(&site), Said::Ran(peer.clone(), 1));
    let refused = site.numbers.try_execute(&peer, 2).unwrap_err();
    assert_eq!((refused.message, refused.reason), (2, RefusalReason::Full));
    let dropped = Submitted::Dropped(Outcome::DroppedNewest);
    assert_eq!(block_on(site.numbers.submitter(&peer).execute(4)).unwrap(), dropped);
    assert_eq!(site.numbers.execute(&peer, 6).wait().unwrap(), dropped);
    // The two are heard of at once or one by one.
    let mut heard = 0;
    while heard < 2 {
        let Said::Dropped("numbers", of, count) = next(&site) else { panic!("of a drop") };
        assert_eq!(of, peer);
        heard += count;
    }
    site.leave.send(()).unwrap();
    assert!(site.engine.shutdown(LIMIT).is_clean());
    let counts = site.registry.snapshot();
    counts.verify().unwrap();
    assert_eq!((counts.received, heard), (4, 2));
}

#[test]
fn of_what_was_dropped_before_a_shutdown_nobody_is_told_again_and_again() {
    let narrow =
        FlowConfig::new(1).with_threads(1).with_overload_policy(OverloadPolicy::DropNewest);
    let (leave, leaves) = crossbeam::channel::bounded::<()>(1);
    let registry = MetricsRegistry::new();
    // The watch's own looks are too seldom to matter.
    let hour = Duration::from_secs(3_600);
    let mut builder = Engine::builder(&registry).with_drop_notice_interval(hour);
    let flow = builder
        .flow("gated", narrow, move |_: &String, (): ()| {
            leaves.recv_timeout(LIMIT).expect("the test gives leave");
        })
        .unwrap();
    let engine = builder.build().unwrap();
    let peer = "bern".to_owned();
    block_on(flow.execute(&peer, ())).unwrap();
    leave.send(()).unwrap();
    wait_until("its end", || flow.snapshot().in_flight == 0);
    block_on(flow.execute(&peer, ())).unwrap();
    wait_until("its start", || flow.snapshot().queued == 0);
    let _ = block_on(flow.execute(&peer, ())).unwrap();
    assert_eq!(flow.snapshot().count(Outcome::DroppedNewest), 1);
    leave.send(()).unwrap();
    assert!(engine.shutdown(LIMIT).is_clean());
    let mut known = Default::default();
    let mut notices = || {
        engine.inner().look(&mut known);
        registry.snapshot().notices
    };
    assert_eq!([(); 5].map(|()| notices()), [1; 5]);
}

#[test]
fn departures_that_are_refused_are_repeated_a_few_at_a_time_and_each_in_its_turn() {
    const KEPT: u8 = 100;
    let refuses = FlowConfig::new(1).with_threads(1).with_overload_policy(OverloadPolicy::Refuse);
    let site = site(FlowConfig::new(1), refuses);
    let inner = site.engine.inner();
    let _arrival = site.engine.connect("slow".to_owned());
    let completions: Vec<_> = (0..KEPT).map(|from| inner.depart(&from.to_string())).collect();
    let notices = || site.registry.snapshot().notices;
    // The watch looks as well, every now and then.
    let before = notices();
    inner.look_at_departures();
    assert!(notices() >= before + 64, "a limit at a time");
    site.leave.send(()).unwrap();
    for completion in completions {
        wait_until("a departure", || {
            inner.look_at_departures();
            let mut context = Context::from_waker(Waker::noop());
            completion.poll(&mut context) == Poll::Ready(true)
        });
    }
    assert!(site.engine.shutdown(LIMIT).is_clean());
    site.registry.snapshot().verify().unwrap();
}

/// A flow that drains, of which one handler waits for leave.
fn draining(messages: usize) -> FlowConfig {
    FlowConfig::new(messages)
        .with_peer_quota(messages)
        .with_threads(1)
        .with_departure(Departure::Drain)
}

#[test]
fn what_a_peer_has_sent_runs_before_its_departure_where_the_flow_drains() {
    let site = site(draining(100), FlowConfig::new(10));
    let bern = "bern".to_owned();
    let peer = block_on(site.engine.connect(bern.clone())).unwrap();
    for message in 0..100 {
        let message = 2 * message + u32::from(message == 0);
        assert_eq!(at_once(site.numbers.execute(&bern, message)), Submitted::Admitted);
    }
    assert_eq!(next(&site), Said::Up(bern.clone()));
    assert_eq!(next(&site), Said::Ran(bern.clone(), 1));
    let mut waits = site.numbers.execute(&bern, 300);
    assert!((&mut waits).now_or_never().is_none(), "the flow is full");
    let mut closing = peer.close();
    assert_eq!(block_on(waits).unwrap_err().reason, RefusalReason::Disconnected);
    assert!((&mut closing).now_or_never().is_none());
    // It would overtake the departure.
    let refused = block_on(site.engine.connect(bern.clone())).map(drop);
    assert_eq!(refused, Err(RefusalReason::TooManyWaiters));
    site.leave.send(()).unwrap();
    block_on(closing);
    let said: Vec<_> = site.hears.try_iter().collect();
    let ran = (1..100).map(|message| Said::Ran(bern.clone(), 2 * message));
    assert_eq!(said, ran.chain([Said::Down(bern.clone())]).collect::<Vec<_>>());
    let again = block_on(site.engine.connect(bern.clone())).unwrap();
    block_on(again.close());
    assert!(site.engine.shutdown(LIMIT).is_clean());
    let counts = site.registry.snapshot();
    counts.verify().unwrap();
    assert_eq!((counts.flow("numbers").handled(), counts.flow("numbers").refused()), (100, 1));
}

fn at_once<T: std::fmt::Debug, E: std::fmt::Debug>(
    execute: impl Future<Output = Result<T, E>>,
) -> T {
    execute.now_or_never().expect("nobody has to wait").unwrap()
}

#[test]
fn a_departure_that_drains_ends_with_the_engine_whatever_is_queued() {
    let Site { registry, engine, numbers, hears, leave } = site(draining(10), FlowConfig::new(10));
    let peer = block_on(engine.connect("bern".to_owned())).unwrap();
    for message in [1, 2, 4] {
        at_once(numbers.execute(peer.id(), message));
    }
    assert_eq!([(); 2].map(|()| hears.recv_timeout(LIMIT).is_ok()), [true; 2]);
    let closing = peer.close();
    let report = engine.shutdown(Duration::ZERO);
    let flow = report.flow("numbers").unwrap();
    assert_eq!((flow.dropped, flow.running), (2, 1));
    // What runs is not waited for.
    block_on(closing);
    leave.send(()).unwrap();
    wait_until("the end", || numbers.snapshot().in_flight == 0);
    registry.snapshot().verify().unwrap();
    assert_eq!(hears.try_iter().count(), 0, "nobody hears of the departure");
}

#[test]
fn a_slot_that_is_held_holds_up_the_departure_of_a_flow_that_drains() {
    let (slots, taken) = channel();
    let registry = MetricsRegistry::new();
    let mut builder = Engine::<u64>::builder(&registry);
    let flow = builder
        .flow("slots", draining(2), move |_: &u64, (): ()| {
            slots.send(crate::Slot::take().unwrap()).unwrap();
        })
        .unwrap();
    let engine = builder.build().unwrap();
    let peer = block_on(engine.connect(7)).unwrap();
    at_once(flow.execute(7, ()));
    let slot = taken.recv_timeout(LIMIT).unwrap();
    let mut closing = peer.close();
    wait_until("the return of the call", || flow.snapshot().held == 1);
    assert!((&mut closing).now_or_never().is_none() && !slot.is_cancelled());
    drop(slot);
    block_on(closing);
    assert!(engine.shutdown(LIMIT).is_clean());
    registry.snapshot().verify().unwrap();
}

#[test]
fn a_departure_does_not_pass_an_earlier_one_of_its_peer_that_drains() {
    let (slots, taken) = channel();
    let registry = MetricsRegistry::new();
    let mut builder = Engine::<u64>::builder(&registry);
    let handler = move |_: &u64, (): ()| slots.send(crate::Slot::take().unwrap()).unwrap();
    let flow = builder.flow("slots", draining(2), handler).unwrap();
    let engine = builder.build().unwrap();
    let [first, second] = [(); 2].map(|()| block_on(engine.connect(7)).unwrap());
    at_once(flow.execute(7, ()));
    let slot = taken.recv_timeout(LIMIT).unwrap();
    // The first takes the peer's lane with it, so the second has nothing to wait for but the first.
    let (first, second) = (first.close(), second.close());
    assert_eq!(engine.inner().departures.count(), 2);
    drop(slot);
    block_on(first);
    block_on(second);
    assert!(engine.shutdown(LIMIT).is_clean());
    registry.snapshot().verify().unwrap();
}

/// Peers that come, send and go without a pause, in flows that drain and one that cancels.
#[test]
fn all_that_was_admitted_is_handled_of_peers_that_come_and_go() {
    for round in 0..20 {
        let registry = MetricsRegistry::new();
        let (alive, late) = (Arc::<[AtomicU64; 4]>::default(), Arc::<AtomicU64>::default());
        struct Watches(Arc<[AtomicU64; 4]>);
        impl PeerHandler<usize> for Watches {
            fn on_peer_up(&self, peer: &usize) {
                self.0[*peer].fetch_add(1, Ordering::AcqRel);
            }
            fn on_peer_down(&self, peer: &usize) {
                self.0[*peer].fetch_add(1, Ordering::AcqRel);
            }
        }
        let mut builder = Engine::<usize>::builder(&registry);
        let mut flow = |name, departure, peer_threads| {
            let (alive, late) = (Arc::clone(&alive), Arc::clone(&late));
            let config = FlowConfig::new(32)
                .with_threads(2)
                .with_peer_threads(peer_threads)
                .with_departure(departure);
            let handler = move |peer: &usize, connection: u64| {
                // Relaxed would do; it is odd while the connection is there.
                if alive[*peer].load(Ordering::Acquire) != 2 * connection + 1 {
                    late.fetch_add(1, Ordering::AcqRel);
                }
            };
            builder.flow(name, config, handler).unwrap()
        };
        let drains = flow("drains", Departure::Drain, 1);
        let beside = flow("beside", Departure::Drain, 2);
        let cancels = flow("cancels", Departure::Cancel, 1);
        let engine = builder.build_with(Watches(Arc::clone(&alive))).unwrap();
        let admitted: u64 = thread::scope(|scope| {
            let submitters = [0, 1, 2, 3].map(|number| {
                let (engine, flows) = (&engine, [&drains, &beside, &cancels]);
                scope.spawn(move || {
                    let mut admitted = 0;
                    for connection in 0..25 {
                        let peer = block_on(engine.connect(number)).unwrap();
                        for message in 0..8 {
                            for flow in flows {
                                let is_admitted = flow.try_execute(number, connection).is_ok();
                                admitted += u64::from(is_admitted && flow.name() != "cancels");
                            }
                            if (message + round) % 5 == 0 {
                                thread::yield_now();
                            }
                        }
                        block_on(peer.close());
                    }
                    admitted
                })
            });
            submitters.into_iter().map(|submitter| submitter.join().unwrap()).sum()
        });
        assert!(engine.shutdown(LIMIT).is_clean());
        let counts = registry.snapshot();
        counts.verify().unwrap();
        assert_eq!(late.load(Ordering::Acquire), 0, "handled after its departure");
        assert_eq!(counts.flow("drains").handled() + counts.flow("beside").handled(), admitted);
    }
}

#[test]
fn flows_close_with_the_last_of_the_engine_whoever_has_them() {
    let Site { engine, numbers, hears, leave, registry } =
        site(FlowConfig::new(10).with_peer_quota(10), FlowConfig::new(10));
    let peer = block_on(engine.connect("bern".to_owned())).unwrap();
    block_on(numbers.execute(peer.id(), 1)).unwrap();
    block_on(numbers.execute(peer.id(), 2)).unwrap();
    drop(engine);
    assert_eq!(hears.recv_timeout(LIMIT), Ok(Said::Up("bern".to_owned())));
    assert_eq!(hears.recv_timeout(LIMIT), Ok(Said::Ran("bern".to_owned(), 1)));
    // The connection is a clone of the engine.
    assert!(numbers.try_execute(peer.id(), 4).is_ok());
    // It ends with the engine, so nothing but what runs comes to its end.
    drop(peer);
    wait_until("the close", || {
        let refused = numbers.try_execute("bern".to_owned(), 6).err();
        refused.is_some_and(|refused| refused.reason == RefusalReason::Closed)
    });
    leave.send(()).unwrap();
    wait_until("the end", || numbers.snapshot().in_flight == 0);
    let counts = numbers.snapshot();
    assert_eq!((counts.handled(), counts.count(Outcome::Cancelled)), (1, 2));
    drop((hears, registry));
}

#[test]
fn a_builder_that_is_dropped_closes_its_flows() {
    let registry = MetricsRegistry::new();
    let mut builder = Engine::<u64>::builder(&registry);
    let flow = builder.flow("a", FlowConfig::new(1), |_: &u64, (): ()| {}).unwrap();
    drop(builder);
    assert_eq!(flow.try_execute(7, ()).unwrap_err().reason, RefusalReason::Closed);
}

#[test]
fn wrong_names_and_figures_are_refused() {
    let registry = MetricsRegistry::new();
    let mut builder = Engine::<u64>::builder(&registry);
    let config = FlowConfig::new(1).with_threads(1);
    let _kept = builder.flow("a", config, |_: &u64, (): ()| {}).unwrap();
    let long = "a name of a flow that is far too long to be of any use in a metric's label";
    for name in ["", "a", "peers", "Broadcast", long] {
        let refused = builder.flow(name, config, |_: &u64, (): ()| {}).unwrap_err();
        let BuildError::Config(ConfigError::Name { flow, .. }) = refused else {
            panic!("{refused}")
        };
        assert_eq!(flow, name);
    }
    let wrong = builder.flow("b", config.with_threads(0), |_: &u64, (): ()| {}).unwrap_err();
    assert_eq!(wrong.to_string(), "b flow: no threads; give it 1 to 256");
    let lossy =
        [OverloadPolicy::DropNewest, OverloadPolicy::DropOldest, OverloadPolicy::KeepLatest];
    for policy in lossy {
        let builder = Engine::<u64>::builder(&MetricsRegistry::new());
        let lossy = config.with_overload_policy(policy);
        let wrong = builder.with_peers_flow(lossy).build().unwrap_err();
        assert!(matches!(wrong, BuildError::Config(ConfigError::Lossy { flow: "peers" })));
    }
}

#[test]
fn threads_are_called_by_their_flow_and_index() {
    let (sender, receiver) = channel();
    let registry = MetricsRegistry::new();
    let mut builder = Engine::<u64>::builder(&registry);
    let flow = builder
        .flow("retransmissions", FlowConfig::new(2).with_threads(1), move |_: &u64, (): ()| {
            sender.send(thread::current().name().map(str::to_owned)).unwrap();
        })
        .unwrap();
    let engine = builder.build().unwrap();
    block_on(flow.execute(1, ())).unwrap();
    assert_eq!(receiver.recv_timeout(LIMIT).unwrap().as_deref(), Some("retransmiss-0"));
    assert!(engine.shutdown(LIMIT).is_clean());
}

#[test]
fn a_weight_holds_in_all_flows() {
    let registry = MetricsRegistry::new();
    let mut builder = Engine::<u64>::builder(&registry);
    let config = FlowConfig::new(10).with_threads(1).with_max_peers(1);
    let _one = builder.flow("one", config, |_: &u64, (): ()| {}).unwrap();
    let two = builder.flow("two", config, |_: &u64, (): ()| {}).unwrap();
    let engine = builder.build().unwrap();
    assert!(engine.set_peer_weight(1_u64, 3));
    // Of one peer at the most, in each flow.
    assert!(!two.set_peer_weight(&2_u64, 3));
    assert!(!engine.set_peer_weight(2_u64, 3));
    assert!(engine.set_peer_weight(1_u64, 1) && engine.set_peer_weight(2_u64, 3));
    assert!(engine.shutdown(LIMIT).is_clean());
}

/// Twelve flows of twelve message types, peers with names that come and go, panics, drops and cancelled waits: at the
/// end every event has its outcome.
#[test]
fn twelve_flows_of_a_program_add_up_whatever_happens() {
    struct Message<const FLOW: usize>(u64);

    const EACH: u64 = 2_000;
    let handled: Arc<[AtomicU64; 12]> = Arc::default();
    let registry = MetricsRegistry::new();
    let mut builder = Engine::<String>::builder(&registry);
    macro_rules! flow {
        ($flow:literal, $name:literal, $policy:ident) => {{
            let handled = Arc::clone(&handled);
            let config = FlowConfig::new(16)
                .with_threads(1 + $flow % 2)
                .with_overload_policy(OverloadPolicy::$policy);
            builder
                .flow($name, config, move |_: &String, Message::<$flow>(number)| {
                    if number % 97 == 13 {
                        // Without the noise.
                        std::panic::resume_unwind(Box::new("on purpose"));
                    }
                    // Relaxed: read when the threads have ended.
                    handled[$flow].fetch_add(1, Ordering::Relaxed);
                })
                .unwrap()
        }};
    }
    let flows = (
        (flow!(0, "blocks", Wait), flow!(1, "votes", Refuse), flow!(2, "attestations", DropNewest)),
        (flow!(3, "exits", DropOldest), flow!(4, "slashings", Wait), flow!(5, "blobs", Refuse)),
        (flow!(6, "headers", DropNewest), flow!(7, "ranges", DropOldest), flow!(8, "roots", Wait)),
        (flow!(9, "status", Refuse), flow!(10, "metadata", DropNewest), flow!(11, "pings", Wait)),
    );
    let engine = builder.build().unwrap();
    thread::scope(|scope| {
        for name in ["bern", "genf", "chur"] {
            let (engine, flows) = (&engine, &flows);
            scope.spawn(move || {
                let mut peer = block_on(engine.connect(name.to_owned())).unwrap();
                for number in 0..EACH {
                    macro_rules! submit {
                        ($flow:expr) => {{
                            let mut execute = $flow.execute(peer.id(), Message(number));
                            match number % 5 {
                                // A wait that is given up at once, if it is one.
                                0 => drop((&mut execute).now_or_never()),
                                _ => drop(block_on(execute)),
                            }
                        }};
                    }
                    let (a, b, c, d) = flows;
                    submit!(a.0);
                    submit!(a.1);
                    submit!(a.2);
                    submit!(b.0);
                    submit!(b.1);
                    submit!(b.2);
                    submit!(c.0);
                    submit!(c.1);
                    submit!(c.2);
                    submit!(d.0);
                    submit!(d.1);
                    submit!(d.2);
                    if number % 400 == 399 {
                        block_on(peer.close());
                        peer = block_on(engine.connect(name.to_owned())).unwrap();
                    }
                }
            });
        }
    });
    let report = engine.shutdown(LIMIT);
    assert!(report.is_clean(), "{report:?}");
    let counts = registry.snapshot();
    counts.verify().unwrap();
    assert_eq!(counts.flows().count(), 13);
    for ((name, flow), handled) in counts.flows().zip(handled.iter()) {
        assert_eq!(flow.submitted(), 3 * EACH, "{name}");
        assert_eq!(flow.handled(), handled.load(Ordering::Relaxed), "{name}");
        assert!(flow.panicked() > 0, "{name}");
    }
}

#[test]
fn a_departure_that_ends_with_the_engine_has_its_outcome() {
    let Site { registry, engine, numbers, hears, leave } = site(draining(10), FlowConfig::new(10));
    let peer = block_on(engine.connect("bern".to_owned())).unwrap();
    for message in [1, 2] {
        at_once(numbers.execute(peer.id(), message));
    }
    assert_eq!([(); 2].map(|()| hears.recv_timeout(LIMIT).is_ok()), [true; 2]);
    let closing = peer.close();
    drop(engine);
    block_on(closing);
    leave.send(()).unwrap();
    wait_until("the end", || numbers.snapshot().in_flight == 0);
    registry.snapshot().verify().unwrap();
}

#[test]
fn a_departure_waits_for_a_handler_whose_message_was_cancelled_before() {
    let registry = MetricsRegistry::new();
    let (begins, begun) = channel();
    let (told, hears) = channel();
    struct Down(Sender<()>);
    impl PeerHandler<u64> for Down {
        fn on_peer_down(&self, _: &u64) {
            self.0.send(()).unwrap();
        }
    }
    let (leave, leaves) = crossbeam::channel::bounded::<()>(1);
    let mut builder = Engine::<u64>::builder(&registry);
    let flow = builder
        .flow("gated", FlowConfig::new(2).with_threads(1), move |_: &u64, (): ()| {
            begins.send(()).unwrap();
            leaves.recv_timeout(LIMIT).expect("the test gives leave");
        })
        .unwrap();
    let engine = builder.build_with(Down(told)).unwrap();
    let peer = block_on(engine.connect(7)).unwrap();
    at_once(flow.execute(7, ()));
    begun.recv_timeout(LIMIT).unwrap();
    flow.cancel_peer(7);
    let began = Instant::now();
    drop(peer.close());
    hears.recv_timeout(LIMIT).unwrap();
    let took = began.elapsed();
    leave.send(()).unwrap();
    assert!(took >= Duration::from_millis(100), "its handler runs");
    assert!(engine.shutdown(LIMIT).is_clean());
}

#[test]
fn arrivals_give_way_to_departures_that_were_refused() {
    let refuses = FlowConfig::new(1).with_threads(1).with_overload_policy(OverloadPolicy::Refuse);
    let (leave, leaves) = crossbeam::channel::unbounded::<()>();
    let registry = MetricsRegistry::new();
    struct Gated(crossbeam::channel::Receiver<()>);
    impl PeerHandler<u32> for Gated {
        fn on_peer_up(&self, _: &u32) {
            self.0.recv_timeout(LIMIT).expect("the test gives leave");
        }
    }
    let builder = Engine::<u32>::builder(&registry).with_peers_flow(refuses);
    let engine = builder.build_with(Gated(leaves)).unwrap();
    let mut before: Option<Connection<u32>> = None;
    let mut most = 0;
    for peer in 0..1_000 {
        let limit = Instant::now() + LIMIT;
        let connection = loop {
            let mut connecting = engine.connect(peer);
            let Some(refused) = (&mut connecting).now_or_never() else {
                // The flow is full.
                drop(before.take());
                most = most.max(engine.inner().departures.count());
                leave.send(()).unwrap();
                break block_on(connecting).unwrap();
            };
            assert!(refused.is_err() && Instant::now() < limit, "the capacity is not free yet");
            engine.inner().look_at_departures();
        };
        before = Some(connection);
    }
    // As many again, and their marks, while they are submitted again.
    assert!(most <= 4 * 64, "{most} are kept");
    drop(before);
    wait_until("all departures", || engine.inner().departures.are_none());
    assert!(engine.shutdown(LIMIT).is_clean());
    registry.snapshot().verify().unwrap();
}

#[test]
fn drops_are_remembered_of_no_more_peers_than_have_lanes() {
    let (leave, leaves) = crossbeam::channel::unbounded::<()>();
    let registry = MetricsRegistry::new();
    let hour = Duration::from_secs(3_600);
    let mut builder = Engine::<u64>::builder(&registry).with_drop_notice_interval(hour);
    let config = FlowConfig::new(1)
        .with_threads(1)
        .with_max_peers(2)
        .with_overload_policy(OverloadPolicy::DropNewest);
    let flow = builder
        .flow("gated", config, move |_: &u64, (): ()| {
            leaves.recv_timeout(LIMIT).expect("the test gives leave");
        })
        .unwrap();
    let engine = builder.build().unwrap();
    at_once(flow.execute(0, ()));
    let mut known = Default::default();
    for peer in 1..100 {
        let dropped = Submitted::Dropped(Outcome::DroppedNewest);
        assert_eq!(at_once(flow.execute(peer, ())), dropped);
        engine.inner().look(&mut known);
    }
    assert!(flow.drops_listed() <= 2, "{} of them", flow.drops_listed());
    leave.send(()).unwrap();
    assert!(engine.shutdown(LIMIT).is_clean());
}
