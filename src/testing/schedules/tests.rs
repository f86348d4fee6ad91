use std::{env, sync::Arc, time::Duration};

use shuttle::{
    Config, MaxSteps, Runner,
    scheduler::{PctScheduler, RandomScheduler, Scheduler},
};

use super::trial::{Conduct, EACH, Habit, PEERS, SUBMITTED, Trial, peer};
use crate::{
    FlowConfig, FlowType, FlowWorker, MetricsRegistry, NodeId, Outcome, OverloadPolicy,
    PanicPolicy, WaitStrategy,
    flow_worker::FlowSpec,
    sync::{random, switch},
};

/// How many schedules a test draws of those that are random all the way; of the others it draws as
/// many together. `GOSSIP_SCHEDULES` asks for another number.
const SCHEDULES: usize = 6_000;

fn draw(scheduler: impl Scheduler + 'static, scenario: fn()) {
    let mut config = Config::new();
    config.stack_size = 1 << 18;
    // Far beyond what any takes that ends.
    config.max_steps = MaxSteps::FailAfter(200_000);
    config.silence_warnings = true;
    Runner::new(scheduler, config).run(scenario);
}

fn schedules() -> usize {
    env::var("GOSSIP_SCHEDULES").map_or(SCHEDULES, |number| number.parse().expect("a number"))
}

/// Runs a scenario under schedules in which each thread may run at each step, and as often under schedules in which a
/// thread runs until it waits or yields, but for a few changes of heart.
fn explore(scenario: fn()) {
    draw(RandomScheduler::new(schedules()), scenario);
    for depth in 3..=5 {
        draw(PctScheduler::new(depth, schedules() / 3), scenario);
    }
}

/// The peer of a submitter that has one.
fn own_peer(submitter: usize) -> usize {
    submitter.min(PEERS - 2)
}

/// A peer for each message.
fn any_peer(_: usize) -> usize {
    random(PEERS)
}

/// Several threads may run messages of one peer.
fn side_by_side() -> FlowConfig {
    Trial::any_config().with_threads(2).with_peer_threads(2)
}

#[test]
fn every_message_comes_to_one_outcome_and_every_submitter_is_notified() {
    explore(|| {
        let trial = Trial::new(side_by_side(), Habit::Nothing);
        trial.submit(Conduct::Mixed, own_peer).ends_by_itself();
    });
}

#[test]
fn messages_of_a_peer_run_in_order_and_one_at_a_time() {
    explore(|| {
        let trial = Trial::new(Trial::any_config().with_peer_threads(1), Habit::Nothing);
        trial.submit(Conduct::Mixed, own_peer).ends_by_itself();
    });
}

/// Two threads, each of which waits for the other, with capacity for both.
fn two_and_two(conduct: Conduct) {
    let config = side_by_side().with_max_inflight_requests(2 + random(2)).with_max_bytes(None);
    let config = config.with_peer_quota(2).with_max_waiters(2 * EACH);
    Trial::new(config, Habit::WaitsForAnother).submit(conduct, own_peer).ends_by_itself();
}

#[test]
fn two_run_side_by_side_whenever_there_are_two() {
    explore(|| two_and_two(Conduct::AllAtOnce));
}

#[test]
fn two_run_side_by_side_when_each_submitter_waits_for_its_message() {
    explore(|| two_and_two(Conduct::OneByOne));
}

#[test]
fn who_submits_one_message_at_a_time_is_not_refused() {
    explore(|| {
        let config = Trial::any_config().with_max_waiters(1);
        let trial = Trial::new(config, Habit::Nothing).submit(Conduct::OneByOne, |number| number);
        assert_eq!(trial.ends_by_itself().refused(), 0);
    });
}

#[test]
fn who_stops_waiting_takes_the_message_along() {
    explore(|| {
        let trial = Trial::new(Trial::any_config(), Habit::WaitsForLeave);
        let mut trial = trial.submit(Conduct::Leaves, own_peer);
        let woken = trial.join_submitters();
        // No handler has ended, so nothing has been decided since.
        let counts = trial.flow.snapshot();
        assert_eq!((counts.waiting, counts.in_flight), (0, trial.not_gone()));
        trial.give_leave();
        trial.ends(&woken);
    });
}

#[test]
fn peers_that_come_and_go_with_few_lanes_lose_nothing() {
    explore(|| {
        let config = Trial::any_config().with_max_peers(PEERS - 1);
        Trial::new(config, Habit::Nothing).submit(Conduct::Mixed, any_peer).ends_by_itself();
    });
}

#[test]
fn nothing_of_a_peer_that_has_gone_starts_when_its_last_worker_has_left() {
    explore(|| {
        let config = if random(2) == 0 { Trial::any_config() } else { side_by_side() };
        let trial = Trial::new(config, Habit::Nothing);
        let mut trial = trial.submit(Conduct::Mixed, any_peer);
        for _ in 0..2 {
            (0..random(60)).for_each(|_| switch());
            trial.departs(random(PEERS));
        }
        let woken = trial.join_submitters();
        trial.ends(&woken);
    });
}

#[test]
fn messages_that_are_dropped_for_others_are_counted() {
    explore(|| {
        let policies =
            [OverloadPolicy::DropOldest, OverloadPolicy::DropNewest, OverloadPolicy::Refuse];
        let config = Trial::any_config().with_overload_policy(policies[random(3)]);
        let trial = Trial::new(config, Habit::Nothing);
        let counts = trial.submit(Conduct::Mixed, own_peer).ends_by_itself();
        assert_eq!(counts.waiting_for_peer_permit, 0);
    });
}

#[test]
fn a_handler_that_panics_gives_its_capacity_back() {
    explore(|| {
        let trial = Trial::new(Trial::any_config(), Habit::Panics);
        trial.submit(Conduct::Mixed, own_peer).ends_by_itself();
    });
}

#[test]
fn a_flow_that_fails_by_a_panic_runs_what_it_has_admitted() {
    explore(|| {
        let config = Trial::any_config().with_panic_policy(PanicPolicy::FailFast);
        let trial = Trial::new(config, Habit::Panics);
        let trial = trial.submit(Conduct::Mixed, own_peer);
        let failures = trial.failures();
        let counts = trial.ends_by_itself();
        assert_eq!(failures.count(), u64::from(counts.panicked() > 0), "it fails once");
        assert!(counts.panicked() > 0 || counts.count(Outcome::Closed) == 0);
    });
}

#[test]
fn waiters_are_let_in_when_bounds_grow() {
    explore(|| {
        let config = Trial::any_config().with_max_bytes(None);
        let trial = Trial::new(config, Habit::WaitsForLeave);
        let mut trial = trial.submit(Conduct::AllAtOnce, own_peer);
        (0..random(100)).for_each(|_| switch());
        let all = SUBMITTED as usize;
        let wide = config.with_max_inflight_requests(all).with_peer_quota(all);
        trial.flow.reconfigure(&wide).unwrap();
        // No handler has ended, so it is the new bounds that have let everybody in.
        let woken = trial.join_submitters();
        assert_eq!(trial.flow.snapshot().waiting, 0);
        trial.give_leave();
        trial.ends(&woken);
    });
}

#[test]
fn bounds_and_strategies_that_change_meanwhile_lose_nothing() {
    explore(|| {
        let config = Trial::any_config();
        let mut trial = Trial::new(config, Habit::Nothing).submit(Conduct::Mixed, own_peer);
        for _ in 0..3 {
            (0..random(40)).for_each(|_| switch());
            trial.flow.reconfigure(&Trial::another_config(&config)).unwrap();
        }
        let woken = trial.join_submitters();
        trial.ends(&woken);
    });
}

#[test]
fn a_handler_that_is_replaced_runs_nothing_that_is_submitted_later_and_is_let_go() {
    explore(|| {
        let trial = Trial::new(Trial::any_config(), Habit::Nothing);
        let mut trial = trial.submit(Conduct::Mixed, own_peer);
        for _ in 0..2 {
            (0..random(60)).for_each(|_| switch());
            trial.replace_handler(Habit::Nothing);
        }
        let woken = trial.join_submitters();
        trial.ends(&woken);
    });
}

#[test]
fn who_waits_when_the_flow_closes_is_notified_though_no_handler_ends() {
    explore(|| {
        let trial = Trial::new(Trial::any_config(), Habit::WaitsForLeave);
        let mut trial = trial.submit(Conduct::Mixed, own_peer);
        (0..random(100)).for_each(|_| switch());
        trial.flow.close();
        let woken = trial.join_submitters();
        trial.give_leave();
        trial.ends(&woken);
    });
}

#[test]
fn who_comes_while_the_flow_shuts_down_is_admitted_or_refused_and_nothing_starts_later() {
    explore(|| {
        let habit = [Habit::Nothing, Habit::ShutsDown, Habit::Panics][random(3)];
        let trial = Trial::new(Trial::any_config(), habit);
        let mut trial = trial.submit(Conduct::Mixed, own_peer);
        (0..random(100)).for_each(|_| switch());
        if random(2) == 0 {
            trial.flow.close();
        }
        assert!(trial.flow.shutdown(Duration::ZERO).joined);
        trial.is_over();
        let woken = trial.join_submitters();
        trial.at_rest(&woken);
    });
}

#[test]
fn a_shutdown_with_time_waits_for_what_was_admitted_and_is_woken_when_that_has_run() {
    explore(|| {
        let habit = [Habit::Nothing, Habit::ShutsDown][random(2)];
        let trial = Trial::new(Trial::any_config(), habit);
        let mut trial = trial.submit(Conduct::Mixed, own_peer);
        (0..random(100)).for_each(|_| switch());
        // There is no time, so its deadline never comes.
        assert!(trial.flow.shutdown(Duration::from_secs(600)).is_clean());
        trial.is_over();
        let woken = trial.join_submitters();
        assert_eq!(trial.at_rest(&woken).count(Outcome::DroppedAtShutdown), 0);
    });
}

#[test]
fn two_shutdowns_at_the_same_time_both_return() {
    explore(|| {
        let trial = Trial::new(Trial::any_config(), Habit::Nothing);
        let mut trial = trial.submit(Conduct::Mixed, own_peer);
        let flow = Arc::clone(&trial.flow);
        let other = shuttle::thread::spawn(move || flow.shutdown(Duration::ZERO).joined);
        assert!(trial.flow.shutdown(Duration::from_secs(600)).joined);
        assert!(other.join().unwrap());
        trial.is_over();
        let woken = trial.join_submitters();
        trial.at_rest(&woken);
    });
}

#[test]
fn a_flow_that_is_dropped_runs_what_it_has_admitted() {
    explore(|| {
        let trial = Trial::new(Trial::any_config(), Habit::Nothing);
        let mut trial = trial.submit(Conduct::Mixed, own_peer);
        let woken = trial.join_submitters();
        trial.ends_by_drop(&woken);
    });
}

#[test]
fn a_departure_is_the_peers_alone() {
    explore(|| {
        let trial = Trial::new(Trial::any_config(), Habit::Nothing);
        let mut trial = trial.submit(Conduct::OneByOne, |number| number.min(PEERS - 2));
        (0..random(60)).for_each(|_| switch());
        // Nobody submits messages of the last one.
        trial.flow.cancel_peer(peer(PEERS - 1));
        let woken = trial.join_submitters();
        let counts = trial.ends(&woken);
        assert_eq!(counts.count(Outcome::Cancelled) + counts.count(Outcome::Disconnected), 0);
    });
}

/// Peer 0's handler waits for that of peer 1, which a second worker is to run, while somebody moves items about.
fn a_worker_is_found_beside(disturb: fn(&FlowWorker<()>)) {
    use shuttle::sync::{Condvar, Mutex};
    shuttle::lazy_static! {
        static ref RAN: (Mutex<bool>, Condvar) = (Mutex::new(false), Condvar::new());
    }
    fn handle(from: &NodeId, (): ()) {
        let mut ran = RAN.0.lock().unwrap();
        if *from == peer(1) {
            *ran = true;
            RAN.1.notify_all();
        }
        while *from == peer(0) && !*ran {
            ran = RAN.1.wait(ran).unwrap();
        }
    }
    let config = FlowConfig::new(4)
        .with_peer_quota(1)
        .with_threads(2)
        .with_overload_policy(OverloadPolicy::DropOldest)
        .with_wait_strategy(WaitStrategy::Park);
    let registry = MetricsRegistry::new();
    let spec = FlowSpec::new(FlowType::Request, &config, &registry);
    let flow = Arc::new(FlowWorker::of_engine(spec, handle, None).unwrap());
    let submitters = [0, 1].map(|number| {
        let flow = Arc::clone(&flow);
        shuttle::thread::spawn(move || drop(flow.execute(peer(number), ())))
    });
    drop(flow.execute(peer(2), ()));
    disturb(&flow);
    submitters.into_iter().for_each(|submitter| submitter.join().unwrap());
    assert!(flow.shutdown(Duration::from_secs(600)).is_clean());
}

#[test]
fn a_departure_leaves_no_message_behind_beside_a_worker_that_sleeps() {
    explore(|| a_worker_is_found_beside(|flow| flow.cancel_peer(peer(2))));
}

#[test]
fn an_eviction_leaves_no_message_behind_beside_a_worker_that_sleeps() {
    explore(|| a_worker_is_found_beside(|flow| drop(flow.execute(peer(2), ()))));
}
