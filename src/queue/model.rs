//! What several threads may do to each other, in all orders and with all that weak memory allows.
//!
//! The models run the code itself; what stands in for crossbeam's queue is in `sync::model`. Each says what must hold
//! once everything is at rest. `.ci/orderings` weakens each ordering and removes each fence, and lists which of them no
//! model sees. The table says which models fail when a fence is removed:
//!
//! | fence | models that fail without it |
//! |---|---|
//! | `push` | `an_item_is_found_...`, `an_item_and_a_sleeping_worker_...` |
//! | `drain_all` | the same |
//! | `grant_locked` | `capacity_of_...`, `bytes_...`, `a_permit_...` |
//! | `publish` | the same, `the_last_to_...`, `a_cancelled_lane_...`, `a_retired_lane_...`, `nothing_of_...` |
//! | `Sleep::notify`, `Sleep::before_last_look` | nearly all of `workers::model` |

use std::{
    sync::{Arc, atomic::Ordering as Order},
    time::Duration,
};

use loom::thread::{self, yield_now};

use super::*;
use crate::sync::{Tally, fence};

mod capacity;
mod end;
mod lanes;
mod permits;
mod replace;
mod retire;
mod rows;
mod work;

const WIDE: Limits = Limits {
    items: 4,
    lane_items: 4,
    bytes: None,
    lane_bytes: None,
    quantum: 1_000_000,
    lanes: 4,
    lane_waiters: 4,
    lane_workers: 1,
    workers: 2,
};

/// Nobody's patience ends in a model.
const FOR_EVER: Duration = Duration::from_secs(3_600);

type Queue = FairQueue<u32, u32>;
type OneLane = Arc<Lane<u32>>;
type OneWorker = Worker<u32, u32>;

/// Explores all orders in which the scheduler takes the processor away at most so often.
fn explore(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 20_000;
    builder.check(model);
}

fn queue(limits: Limits) -> Arc<Queue> {
    Arc::new(Queue::new(&limits))
}

fn lane_of(queue: &Queue, key: u32) -> OneLane {
    queue.lane(&key).expect("there may be one more lane")
}

/// Submits; returns whether a worker is to be woken.
fn submit(queue: &Queue, lane: &OneLane, item: u32) -> Result<bool, Denied> {
    let mut wake = WakeList::default();
    queue.submit(lane, &mut Some(item), 1, &mut wake).map(|()| wake.worker)
}

/// Submits two items together; returns how many were admitted, and whether a worker is to be woken.
fn submit_two(queue: &Queue, lane: &OneLane, first: u32) -> Result<(usize, bool), Denied> {
    let mut wake = WakeList::default();
    let mut items = std::collections::VecDeque::from([(first, 1), (first + 1, 1)]);
    let submitted = queue.submit_many(lane, &mut items, &mut wake);
    submitted.map(|submitted| (submitted, wake.worker))
}

fn wait(queue: &Queue, lane: &OneLane, item: u32) -> Result<usize, Denied> {
    queue.wait(lane, item, 1, &mut WakeList::default()).map_err(|(_, denied)| denied)
}

/// Looks for work; true if there is some.
fn look(queue: &Queue, worker: &mut OneWorker) -> bool {
    loop {
        match queue.take(worker) {
            Take::Run { .. } => return true,
            Take::Empty => return false,
            // A worker yields and looks again: the same, without the turns in vain.
            Take::Busy => drop(queue.schedule.lock()),
        }
    }
}

/// Finishes a run and lets in who waits, as a worker does.
fn end(queue: &Queue, worker: &mut OneWorker) -> usize {
    let mut items = 0;
    while let Some((_, charge)) = worker.pop() {
        queue.finish(worker, charge);
        items += 1;
    }
    queue.end_run(worker, 1);
    if queue.has_waiters() {
        queue.grant(Some(&Arc::clone(worker.lane())), &mut WakeList::default());
    }
    items
}

fn discard(queue: &Queue, lane: &OneLane, items: &[(u32, u32)]) {
    for &(_, charge) in items {
        queue.finish_discarded(lane, charge, &mut WakeList::default());
    }
}

/// A worker in the middle of a run of one item.
fn serving(queue: &Queue, lane: &OneLane) -> OneWorker {
    submit(queue, lane, 0).expect("there is capacity");
    let mut worker = queue.worker(0);
    assert!(look(queue, &mut worker));
    worker
}

/// Capacity and somebody who waits for it do not rest together.
fn assert_let_in(queue: &Queue, items: usize) {
    assert!(queue.waiting() == 0 || queue.in_flight() >= items, "capacity, and somebody waits");
}
