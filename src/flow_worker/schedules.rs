//! A whole flow under thousands of schedules, drawn at random: what loom explores in parts, put
//! together, with more threads, more messages and every wait strategy.
//!
//! A submitter that nobody wakes and a message that nobody runs leave all threads blocked, which
//! shuttle reports. Each failure comes with its schedule or seed, and the draws of a test are part of
//! the schedule. What shuttle cannot see is said in `sync/scheduled.rs`.

use std::{env, time::Duration};

use shuttle::{
    Config, MaxSteps, Runner,
    scheduler::{PctScheduler, RandomScheduler, Scheduler},
};

use crate::{
    FlowConfig, Order,
    sync::{random, switch},
};

mod trial;

use trial::{Conduct, EACH, Habit, PEERS, Tested, Trial, peer};

/// So many that the peers' seats are in the first word of a set and in the second.
const STRANGERS: usize = 63;

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

/// Runs a scenario under schedules in which each thread may run at each step.
fn explore_fairly(scenario: fn()) {
    draw(RandomScheduler::new(schedules()), scenario);
}

/// Runs a scenario under these, and as often under schedules in which a thread stands still until all
/// others wait or yield, but for a few changes of heart.
fn explore(scenario: fn()) {
    explore_fairly(scenario);
    for depth in 3..=5 {
        draw(PctScheduler::new(depth, schedules() / 3), scenario);
    }
}

/// The peer of a producer that has one.
fn own_peer(producer: usize, _: &Tested) -> usize {
    producer.min(PEERS - 2)
}

/// A peer for each message, one that has just been forgotten perhaps.
fn any_peer(_: usize, flow: &Tested) -> usize {
    if random(3) == 0 {
        flow.forget_peer(peer(random(PEERS)));
    }
    random(PEERS)
}

fn in_order(order: Order) -> FlowConfig {
    Trial::any_config().with_order(order)
}

#[test]
fn every_message_ends_once_and_every_submitter_hears() {
    explore(|| {
        let trial = Trial::new(in_order(Order::Any), Habit::Nothing);
        trial.produce(Conduct::Mixed, own_peer).ends_by_itself();
    });
}

#[test]
fn messages_in_order_per_peer_run_in_order_and_one_at_a_time() {
    explore(|| {
        let trial = Trial::new(in_order(Order::PerPeer), Habit::Nothing);
        trial.produce(Conduct::Mixed, own_peer).ends_by_itself();
    });
}

#[test]
fn two_run_side_by_side_whenever_there_are_two() {
    explore(|| {
        let config = in_order(Order::Any).with_max_inflight_requests(2 + random(2));
        let config = config.with_peer_quota(2).with_max_waiters(2 * EACH).with_threads(2);
        let trial = Trial::new(config, Habit::WaitsForAnother);
        trial.produce(Conduct::AllAtOnce, own_peer).ends_by_itself();
    });
}

#[test]
fn who_brings_one_message_at_a_time_is_not_refused() {
    explore(|| {
        let config = Trial::any_config().with_max_waiters(1);
        let trial =
            Trial::new(config, Habit::Nothing).produce(Conduct::OneByOne, |number, _| number);
        assert_eq!(trial.ends_by_itself().refused(), 0);
    });
}

#[test]
fn who_leaves_takes_the_message_along() {
    explore(|| {
        let trial = Trial::new(Trial::any_config(), Habit::WaitsForLeave);
        let mut trial = trial.produce(Conduct::Leaves, own_peer);
        let woken = trial.join_producers();
        // No handler has ended, so nothing has been decided since.
        let counts = trial.flow.snapshot();
        assert_eq!((counts.waiting, counts.in_flight), (0, trial.not_gone()));
        trial.give_leave();
        trial.ends(&woken);
    });
}

#[test]
fn peers_that_come_and_go_with_few_seats_lose_nothing() {
    explore(|| {
        let config = Trial::any_config().with_max_peers(PEERS - 1);
        Trial::new(config, Habit::Nothing).produce(Conduct::Mixed, any_peer).ends_by_itself();
    });
}

#[test]
fn peers_whose_seats_are_in_two_words_lose_nothing() {
    // A worker may spin while another thread stands between the two words that it writes.
    explore_fairly(|| {
        let config = Trial::any_config().with_max_peers(PEERS + STRANGERS);
        let trial = Trial::new(config, Habit::Nothing).behind(STRANGERS);
        trial.produce(Conduct::Mixed, own_peer).ends_by_itself();
    });
}

#[test]
fn who_waits_when_the_flow_closes_is_told_though_no_handler_ends() {
    explore(|| {
        let trial = Trial::new(Trial::any_config(), Habit::WaitsForLeave);
        let mut trial = trial.produce(Conduct::Mixed, own_peer);
        (0..random(100)).for_each(|_| switch());
        trial.flow.close();
        let woken = trial.join_producers();
        trial.give_leave();
        trial.ends(&woken);
    });
}

#[test]
fn who_comes_while_the_flow_shuts_down_is_admitted_or_refused_and_nothing_starts_later() {
    explore(|| {
        let habit = [Habit::Nothing, Habit::ShutsDown][random(2)];
        let trial = Trial::new(Trial::any_config(), habit);
        let mut trial = trial.produce(Conduct::Mixed, own_peer);
        (0..random(100)).for_each(|_| switch());
        if random(2) == 0 {
            trial.flow.close();
        }
        assert!(trial.flow.shutdown(Duration::ZERO).joined);
        trial.is_over();
        let woken = trial.join_producers();
        trial.at_rest(&woken);
    });
}

#[test]
fn two_run_side_by_side_when_each_producer_waits_for_its_message() {
    explore(|| {
        let config = in_order(Order::Any).with_max_inflight_requests(2 + random(2));
        let config = config.with_peer_quota(2).with_max_waiters(2 * EACH).with_threads(2);
        let trial = Trial::new(config, Habit::WaitsForAnother);
        trial.produce(Conduct::OneByOne, own_peer).ends_by_itself();
    });
}
