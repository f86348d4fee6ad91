//! The queue and its parts, one thread at a time. What several threads may do to each other is in `model`.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    task::{Wake, Waker},
    time::Duration,
};

use super::{
    chunks::{Chunk, Chunks, KEEP, Pool, RUN},
    gate::{Barred, Bytes, Gate},
    lane::Lane,
    replace::MAX_COMPARED,
    schedule::{Charged, Ended, Rules, Schedule},
    table::Table,
    waiters::Waiters,
    *,
};

mod oracle;
mod replace;

/// Bounds that bind nowhere.
const WIDE: Limits = Limits {
    items: 1_000,
    lane_items: 1_000,
    bytes: None,
    lane_bytes: None,
    quantum: 1_000_000,
    lanes: 1_000,
    lane_waiters: 1_000,
    lane_workers: 1,
    workers: 3,
};

type Queue = FairQueue<u32, u32>;

/// Counts how often it is woken.
#[derive(Debug, Default)]
struct Counted(AtomicUsize);

impl Wake for Counted {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Counted {
    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

fn lane_of(queue: &Queue, key: u32) -> Arc<Lane<u32>> {
    queue.lane(&key).expect("there may be one more lane")
}

/// Submits and says whether a worker is to be woken.
fn submit(queue: &Queue, lane: &Arc<Lane<u32>>, item: u32) -> Result<bool, Denied> {
    let mut wake = WakeList::default();
    let mut place = Some(item);
    let submitted = queue.submit(lane, &mut place, 1, &mut wake);
    assert!(!wake.has_submitters());
    assert_eq!(place, submitted.is_err().then_some(item));
    submitted.map(|()| wake.worker)
}

fn wait(queue: &Queue, lane: &Arc<Lane<u32>>, item: u32) -> Result<usize, Denied> {
    let mut wake = WakeList::default();
    queue.wait(lane, item, 1, &mut wake).map_err(|(back, denied)| {
        assert_eq!(back, item);
        denied
    })
}

/// Waits for a permit.
fn wait_for_permit(queue: &Queue, lane: &Arc<Lane<u32>>) -> Result<usize, Denied> {
    queue.wait_for_permit(lane, &mut WakeList::default()).map(|(ticket, _)| ticket)
}

/// So many waited, and nobody held a permit.
fn refused(refused: usize) -> Departed {
    Departed { refused, revoked: 0 }
}

/// Takes a run, finishes all of it and lets in who waits; returns its items.
fn serve(queue: &Queue, worker: &mut Worker<u32, u32>, service: u64) -> Vec<u32> {
    if queue.take(worker) == Take::Empty {
        return Vec::new();
    }
    end(queue, worker, service)
}

fn end(queue: &Queue, worker: &mut Worker<u32, u32>, service: u64) -> Vec<u32> {
    let mut items = Vec::new();
    while let Some((item, charge)) = worker.pop() {
        items.push(item);
        queue.finish(worker, charge);
    }
    queue.end_run(worker, service);
    if queue.has_waiters() {
        queue.grant(Some(&Arc::clone(worker.lane())), &mut WakeList::default());
    }
    queue.put_down(worker);
    items
}

// ---- chunks ----

#[test]
fn chunks_are_used_again_and_kept_up_to_a_bound() {
    let mut pool = Pool::<u32>::new();
    assert!(pool.take(4).capacity() >= 4 && pool.space() == 0);
    pool.put(VecDeque::new());
    assert!(pool.take(4).capacity() >= 4, "one without space is nothing to keep");
    let chunk = VecDeque::with_capacity(RUN);
    let each = chunk.capacity();
    pool.put(chunk);
    assert_eq!(pool.space(), each);
    assert_eq!((pool.take(4).capacity(), pool.space()), (each, 0), "it is the one that was kept");
    (0..2 * KEEP / each).for_each(|_| pool.put(VecDeque::with_capacity(RUN)));
    assert_eq!(pool.space(), KEEP / each * each);
}

#[test]
fn a_lane_keeps_its_order_over_many_chunks_whatever_is_taken_at_once() {
    for most in [1, 5, RUN - 1, RUN] {
        let (mut pool, mut items) = (Pool::new(), Chunks::new());
        let (mut next, mut expected) = (0, 0);
        let mut run = Chunk::new();
        for round in 0..200 {
            (0..(round * 7) % 50).for_each(|_| {
                items.push(next, &mut pool);
                next += 1;
            });
            assert_eq!(items.front().copied(), (expected < next).then_some(expected));
            items.take_run(most, &mut run, &mut pool);
            assert!(run.len() <= most);
            for item in run.drain(..) {
                assert_eq!(item, expected);
                expected += 1;
            }
            if round % 3 == 0
                && let Some(item) = items.pop(&mut pool)
            {
                assert_eq!(item, expected);
                expected += 1;
            }
            assert_eq!(items.len(), next - expected);
        }
        while let Some(item) = items.pop(&mut pool) {
            assert_eq!(item, expected);
            expected += 1;
        }
        assert!(items.is_empty() && expected == next);
    }
}

#[test]
fn a_lane_keeps_its_order_whatever_is_appended_to_it() {
    for most in [1, 5, RUN - 1, RUN] {
        let (mut pool, mut items) = (Pool::new(), Chunks::new());
        let (mut next, mut expected) = (0, 0);
        let (mut run, mut row) = (Chunk::new(), Chunk::new());
        for round in 0..200 {
            for _ in 0..round % 4 {
                let length = (next * 7) % RUN + 1;
                row.extend(next..next + length);
                items.append(&mut row, &mut pool);
                assert!(row.is_empty());
                next += length;
                (0..next % 3).for_each(|single| items.push(next + single, &mut pool));
                next += next % 3;
            }
            assert_eq!(items.front().copied(), (expected < next).then_some(expected));
            items.take_run(most, &mut run, &mut pool);
            assert!(run.len() <= most && (!run.is_empty() || expected == next));
            for item in run.drain(..) {
                assert_eq!(item, expected);
                expected += 1;
            }
            assert_eq!((items.len(), items.is_empty()), (next - expected, next == expected));
        }
        while let Some(item) = items.pop(&mut pool) {
            assert_eq!(item, expected);
            expected += 1;
        }
        assert!(items.is_empty() && expected == next);
    }
}

#[test]
fn few_items_that_do_not_fit_into_the_last_chunk_are_one_of_their_own() {
    let (mut pool, mut items, mut run) = (Pool::new(), Chunks::new(), Chunk::new());
    (0..RUN - 2).for_each(|item| items.push(item, &mut pool));
    items.append(&mut (0..5).collect(), &mut pool);
    items.take_run(2 * RUN, &mut run, &mut pool);
    assert_eq!((run.len(), items.len()), (RUN - 2, 5));
}

// ---- gate ----

#[test]
fn a_gate_bars_at_its_limit_until_something_has_finished() {
    let gate = Gate::new();
    let enter = |limit, finished: u64| gate.enter(limit, 1, || finished);
    assert_eq!(enter(0, 0), Err(Barred::Full));
    assert_eq!((enter(2, 0), enter(2, 0), enter(2, 0)), (Ok(1), Ok(1), Err(Barred::Full)));
    assert_eq!((enter(2, 1), enter(2, 1)), (Ok(1), Err(Barred::Full)));
    // A lower limit bars until it is kept, a higher one lets in.
    assert_eq!((enter(1, 2), enter(1, 3)), (Err(Barred::Full), Ok(1)));
    assert_eq!((enter(u64::MAX, 3), gate.entered()), (Ok(1), 5));
    assert!(!gate.undo(1));
    assert_eq!(gate.entered(), 4);
    assert!(!gate.close_if_unused(3) && !gate.is_closed());
    assert!(gate.close_if_unused(4) && gate.is_closed());
    assert_eq!((enter(9, 4), gate.entered()), (Err(Barred::Closed), 4));
    gate.close();
    assert!(!gate.close_if_unused(4) && gate.undo(1));
}

#[test]
fn as_many_enter_a_gate_at_once_as_have_capacity() {
    let gate = Gate::new();
    assert_eq!((gate.enter(20, 16, || 0), gate.enter(20, 16, || 0)), (Ok(16), Ok(4)));
    assert_eq!(gate.enter(20, 16, || 0), Err(Barred::Full));
    // What has finished is asked before a row is divided.
    assert_eq!((gate.enter(20, 16, || 20), gate.entered()), (Ok(16), 36));
    assert_eq!((gate.undo(16), gate.entered()), (false, 20));
}

#[test]
fn bytes_are_exceeded_by_one_entry_at_the_most() {
    let bytes = Bytes::new();
    let enter = |each: u32, limit| bytes.enter(1, |_| each, limit).0 == 1;
    assert!(enter(9, 10) && enter(u32::MAX, 10) && !enter(1, 10));
    bytes.leave(u32::MAX.into());
    assert_eq!(bytes.used(), 9);
    assert!(!enter(0, 9) && !enter(0, 0) && enter(1, 10));
    bytes.leave(10);
    let row = [3, 4, 5, 6];
    let enter = |limit| bytes.enter(4, |item| row[item as usize], limit);
    assert_eq!((enter(8), enter(8), bytes.used()), ((3, 12), (0, 0), 12));
    assert_eq!((enter(100), enter(u64::MAX), bytes.used()), ((4, 18), (4, 18), 48));
}

// ---- table ----

#[test]
fn the_table_finds_the_lane_of_each_key_and_removes_the_one_that_is_meant() {
    let table = Table::new();
    let lanes: Vec<_> = (0..1_000).map(|key| Arc::new(Lane::new(key, key, key.into()))).collect();
    lanes.iter().for_each(|lane| table.insert(lane));
    let found = |key: u32| table.find(&key).lane().cloned();
    assert!(lanes.iter().all(|lane| found(*lane.key()).is_some_and(|own| Arc::ptr_eq(&own, lane))));
    assert!(found(1_000).is_none());
    // Another lane of the same key is another lane.
    table.remove(&Arc::new(Lane::new(5, 5, 5)));
    assert!(found(5).is_some());
    lanes.iter().step_by(2).for_each(|lane| table.remove(lane));
    table.remove(&lanes[0]);
    assert!((0..1_000).all(|key| found(key).is_some() == (key % 2 == 1)));
}

#[test]
fn what_was_found_stays_while_the_table_changes() {
    let table = Table::new();
    let lane = Arc::new(Lane::new(1, 0, 1));
    table.insert(&lane);
    let found = table.find(&1);
    table.remove(&lane);
    assert!(found.lane().is_some() && table.find(&1).lane().is_none());
}

// ---- waiters ----

fn charged(item: u32) -> Charged<u32> {
    Charged { item, charge: item }
}

/// Joins a line with an item that is charged its own value.
fn join(waiters: &mut Waiters<u32, u32>, lane: &Arc<Lane<u32>>, item: u32) -> usize {
    waiters.join(lane, Some(item), item)
}

fn admit(waiters: &mut Waiters<u32, u32>) -> Option<u32> {
    waiters.admit_next(&mut WakeList::default())
}

#[test]
fn lines_are_let_in_in_turn_and_each_in_its_order() {
    let mut waiters = Waiters::new();
    let lanes: Vec<_> = (0..3).map(|key| Arc::new(Lane::new(key, key, key.into()))).collect();
    for item in 0..3 {
        for lane in &lanes {
            join(&mut waiters, lane, 10 * lane.index + item);
            waiters.unblock(lane);
        }
    }
    let mut wake = WakeList::default();
    let mut admitted = Vec::new();
    while let Some((lane, charge)) = waiters.next() {
        let item = waiters.admit_next(&mut wake).expect("it waits with an item");
        assert_eq!((charge, *lane.key()), (item, item / 10));
        admitted.push(item);
    }
    assert_eq!(admitted, [0, 10, 20, 1, 11, 21, 2, 12, 22]);
    assert!(!waiters.is_blocked_on_queue());
}

#[test]
fn a_line_whose_lane_is_full_stands_in_nobodys_way() {
    let mut waiters = Waiters::new();
    let (a, b) = (Arc::new(Lane::new(0, 0, 0)), Arc::new(Lane::new(1, 1, 1)));
    join(&mut waiters, &a, 1);
    join(&mut waiters, &b, 2);
    waiters.unblock_all();
    while waiters.next().expect("b can be let in").0.key() != b.key() {
        waiters.block_next();
    }
    admit(&mut waiters);
    // The order in which all lines come into the ring is nobody's business.
    while waiters.next().is_some() {
        waiters.block_next();
    }
    assert!(!waiters.is_blocked_on_queue());
    assert_eq!(waiters.in_line(&a), 1);
    waiters.unblock(&b);
    assert!(!waiters.is_blocked_on_queue(), "b has no line");
    waiters.unblock(&a);
    waiters.unblock(&a);
    assert_eq!(admit(&mut waiters), Some(1));
    assert!(waiters.next().is_none());
}

#[test]
fn a_ticket_ends_once_whichever_way() {
    let mut waiters = Waiters::new();
    let lane = Arc::new(Lane::new(0, 0, 0));
    let counts: Vec<_> = (0..4).map(|_| Arc::new(Counted::default())).collect();
    let tickets: Vec<_> = (0..4).map(|item| join(&mut waiters, &lane, item)).collect();
    for (&ticket, count) in tickets.iter().zip(&counts) {
        assert!(matches!(waiters.poll(ticket, Waker::noop().clone()), (Waited::Pending, None)));
        let waker = Arc::clone(count).into();
        assert!(matches!(waiters.poll(ticket, waker), (Waited::Pending, Some(_))));
    }
    waiters.unblock(&lane);
    let mut wake = WakeList::default();
    assert_eq!(waiters.admit_next(&mut wake), Some(0));
    let (left, waker) = waiters.leave(tickets[1]);
    assert!(matches!(left, Left::Wait(Some(1), of) if Arc::ptr_eq(&of, &lane)) && waker.is_some());
    assert_eq!(waiters.refuse_lane(&lane, Refusal::Cancelled, &mut wake), 2);
    assert!(!waiters.is_blocked_on_queue());
    wake.wake_submitters();
    assert_eq!(counts.iter().map(|count| count.count()).collect::<Vec<_>>(), [1, 0, 1, 1]);
    let noop = || Waker::noop().clone();
    assert!(matches!(waiters.poll(tickets[0], noop()), (Waited::Admitted, Some(_))));
    let (waited, _) = waiters.poll(tickets[2], noop());
    assert!(matches!(waited, Waited::Refused(Some(2), Refusal::Cancelled)));
    assert!(matches!(waiters.leave(tickets[3]).0, Left::Nothing(Some(3))));
    // All four places are used again, each once.
    let mut again: Vec<_> = (0..4).map(|item| join(&mut waiters, &lane, item)).collect();
    again.sort_unstable();
    assert_eq!(again, [0, 1, 2, 3]);
    assert_eq!(waiters.refuse_all(Refusal::Closed, &mut wake).0, 4);
    assert_eq!(waiters.in_line(&lane), 0);
}

#[test]
fn lanes_that_follow_each_other_in_one_place_have_lines_of_their_own() {
    let mut waiters = Waiters::new();
    let (before, after) = (Arc::new(Lane::new(0, 0, 0)), Arc::new(Lane::new(1, 0, 1)));
    join(&mut waiters, &before, 1);
    join(&mut waiters, &after, 2);
    assert_eq!((waiters.in_line(&before), waiters.in_line(&after)), (1, 1));
    assert_eq!(waiters.refuse_lane(&before, Refusal::Cancelled, &mut WakeList::default()), 1);
    waiters.unblock(&after);
    assert_eq!(admit(&mut waiters), Some(2));
}

// ---- schedule ----

/// A schedule with lanes 0, 1, 2, ... which have these weights.
fn schedule(rules: Rules, weights: &[u64]) -> Schedule<u32, u32> {
    let mut schedule = Schedule::new(rules);
    for (key, &weight) in weights.iter().enumerate() {
        let key = key as u32;
        assert!(schedule.set_weight(&key, weight, None, 100));
        assert_eq!(schedule.add_lane(&key).index, key);
    }
    schedule
}

/// Serves one turn, at `cost` nanoseconds an item; returns the lane and the number of items.
fn turn(schedule: &mut Schedule<u32, u32>, cost: impl Fn(u32) -> u64) -> (u32, usize) {
    let mut run = VecDeque::new();
    let lane = schedule.next(&mut run).expect("a lane is ready");
    let index = lane.index;
    let service = run.iter().map(|_| cost(index)).sum();
    schedule.end(lane, Ended { items: run.len(), service });
    schedule.assert_whole();
    (index, run.len())
}

/// Serves turns of lanes that never run empty until they have taken so long; returns how long each was served.
fn share(
    schedule: &mut Schedule<u32, u32>,
    lanes: usize,
    cost: impl Fn(u32) -> u64,
    total: u64,
) -> Vec<u64> {
    let mut served = vec![0; lanes];
    while served.iter().sum::<u64>() < total {
        let (index, items) = turn(schedule, &cost);
        served[index as usize] += cost(index) * items as u64;
        (0..items).for_each(|_| schedule.accept(index, charged(0)));
    }
    served
}

fn fill(schedule: &mut Schedule<u32, u32>, lanes: u32, items: usize) {
    for index in 0..lanes {
        (0..items).for_each(|_| schedule.accept(index, charged(index)));
    }
}

const RULES: Rules = Rules { quantum: 1_000, lane_workers: 1 };

#[test]
fn brief_items_are_served_round_robin_in_full_runs() {
    let mut schedule = schedule(RULES, &[1, 1, 1]);
    fill(&mut schedule, 3, 100);
    // What a lane's items take is not known before the first has run, which comes from a full chunk.
    let turns: Vec<_> = (0..9).map(|_| turn(&mut schedule, |_| 1)).collect();
    let expected =
        [1, RUN - 1, RUN].into_iter().flat_map(|items| (0..3).map(move |lane| (lane, items)));
    assert!(turns.iter().copied().eq(expected), "{turns:?}");
}

#[test]
fn a_lane_is_in_debt_only_when_it_is_a_quantum_ahead() {
    let mut schedule = schedule(RULES, &[1, 1]);
    fill(&mut schedule, 2, 200);
    // The dear one has taken 400 ns, and then 1200.
    let turns = [(); 5].map(|()| turn(&mut schedule, |lane| [400, 1][lane as usize]));
    assert_eq!(turns.map(|(lane, _)| lane), [0, 1, 0, 1, 1]);
    assert_eq!(turns.map(|(_, items)| items)[..3], [1, 1, 2]);
}

#[test]
fn a_run_is_as_long_as_fits_into_a_quantum_and_one_item_at_least() {
    let mut schedule = schedule(RULES, &[1, 1]);
    fill(&mut schedule, 2, 1_000);
    let cost = |index| if index == 0 { 100 } else { 5_000 };
    (0..2).for_each(|_| assert_eq!(turn(&mut schedule, cost).1, 1));
    let mut runs = [0, 0];
    (0..20).for_each(|_| {
        let (index, items) = turn(&mut schedule, cost);
        runs[index as usize] = items;
    });
    assert_eq!(runs, [10, 1]);
}

#[test]
fn a_dear_lane_beside_a_cheap_one_gets_half_of_the_time() {
    for dear in [1_000, 30_000, 1_000_000] {
        let mut schedule = schedule(RULES, &[1, 1]);
        fill(&mut schedule, 2, 100);
        let cost = |index| if index == 0 { dear } else { 10 };
        let served = share(&mut schedule, 2, cost, 200 * dear);
        let half = 100 * dear;
        assert!(served[0].abs_diff(half) <= 3 * dear, "{dear}: {served:?}");
    }
}

#[test]
fn weights_divide_the_time() {
    // Items as long as a quantum, and longer: of briefer ones no lane ever is in debt.
    for cost in [2_000, 50_000] {
        let mut schedule = schedule(RULES, &[3, 1]);
        fill(&mut schedule, 2, 100);
        let served = share(&mut schedule, 2, |_| cost, 400 * cost);
        assert!(served[0].abs_diff(300 * cost) <= 5 * cost, "{cost}: {served:?}");
    }
}

#[test]
fn a_weight_that_changes_while_the_lane_is_backlogged_divides_what_follows() {
    let mut schedule = schedule(RULES, &[1, 1]);
    fill(&mut schedule, 2, 100);
    let cost = 10_000;
    let served = share(&mut schedule, 2, |_| cost, 100 * cost);
    assert!(served[0].abs_diff(50 * cost) <= 3 * cost, "{served:?}");
    assert!(schedule.set_weight(&1, 4, Some(1), 100));
    schedule.assert_whole();
    let served = share(&mut schedule, 2, |_| cost, 500 * cost);
    assert!(served[1].abs_diff(400 * cost) <= 6 * cost, "{served:?}");
    assert!(schedule.set_weight(&1, 1, Some(1), 100));
    schedule.assert_whole();
    let served = share(&mut schedule, 2, |_| cost, 100 * cost);
    assert!(served[1].abs_diff(50 * cost) <= 6 * cost, "{served:?}");
}

/// Serves lanes 0 and 1 by so many workers at once until one of them has worked for so long; returns the time that each
/// lane had.
fn served_by_several(weights: [u64; 2], workers: u32, costs: [u64; 2], until: u64) -> [u64; 2] {
    let mut schedule = schedule(Rules { lane_workers: workers, ..RULES }, &weights);
    let mut served = [0; 2];
    // When each worker's turn ends, and whose it is.
    let mut turns: Vec<(u64, Option<Arc<Lane<u32>>>)> = vec![(0, None); workers as usize];
    loop {
        let turn = turns.iter_mut().min_by_key(|turn| turn.0).expect("there are workers");
        if let Some(lane) = turn.1.take() {
            let (index, service) = (lane.index as usize, costs[lane.index as usize]);
            schedule.end(lane, Ended { items: 1, service });
            served[index] += service;
        }
        if turn.0 >= until {
            return served;
        }
        fill(&mut schedule, 2, 1);
        let mut run = VecDeque::new();
        let lane = schedule.next(&mut run).expect("both lanes have items");
        assert_eq!(run.len(), 1);
        turn.0 += costs[lane.index as usize];
        turn.1 = Some(lane);
        schedule.assert_whole();
    }
}

#[test]
fn time_is_equal_where_several_workers_serve_a_lane() {
    // A lane's time grows when its turns end, and several of them run at once.
    for workers in [2, 3, 8] {
        let [cheap, dear] = served_by_several([1, 1], workers, [10_000, 1_000_000], 100_000_000);
        let all = cheap + dear;
        assert!(cheap.abs_diff(all / 2) <= all / 20, "{workers} workers: {cheap} {dear}");
        let [cheap, dear] = served_by_several([3, 1], workers, [10_000, 1_000_000], 100_000_000);
        let all = cheap + dear;
        assert!(cheap.abs_diff(3 * all / 4) <= all / 20, "{workers} workers: {cheap} {dear}");
    }
}

#[test]
fn as_many_keys_as_allowed_have_a_weight_of_their_own() {
    let mut schedule = schedule(RULES, &[]);
    assert!(schedule.set_weight(&1, 2, None, 1));
    assert!(!schedule.set_weight(&2, 2, None, 1));
    assert!(schedule.set_weight(&2, 1, None, 1), "that is no weight of its own");
    assert!(schedule.set_weight(&1, 3, None, 1));
    assert!(schedule.set_weight(&1, 1, None, 1));
    assert!(schedule.set_weight(&2, 2, None, 1));
}

#[test]
fn debt_is_paid_although_the_lane_was_empty_meanwhile() {
    let mut schedule = schedule(RULES, &[1, 1]);
    let cost = |index| if index == 0 { 100_000 } else { 100 };
    fill(&mut schedule, 2, 1);
    assert_eq!(turn(&mut schedule, cost).0, 0);
    fill(&mut schedule, 1, 1);
    fill(&mut schedule, 2, 1_000);
    // Until the other has had as much, to a quantum and a turn.
    let mut others = 0;
    while let (1, items) = turn(&mut schedule, cost) {
        others += 100 * items as u64;
    }
    assert!((90_000..=102_000).contains(&others), "{others}");
}

#[test]
fn a_lane_in_debt_is_served_when_no_other_is_ready() {
    let mut schedule = schedule(RULES, &[1, 1]);
    fill(&mut schedule, 1, 10);
    (0..10).for_each(|_| assert_eq!(turn(&mut schedule, |_| 1_000_000), (0, 1)));
    assert!(!schedule.is_ready());
}

#[test]
fn nobody_saves_up_turns() {
    let mut schedule = schedule(RULES, &[1, 1]);
    let cost = 10_000;
    // One lane has the time for itself for long.
    fill(&mut schedule, 1, 10);
    share(&mut schedule, 1, |_| cost, 1_000 * cost);
    (0..10).for_each(|_| schedule.accept(1, charged(0)));
    // The other gets its half from now on, and no more.
    let served = share(&mut schedule, 2, |_| cost, 100 * cost);
    assert!(served[1].abs_diff(50 * cost) <= 3 * cost, "{served:?}");
}

#[test]
fn a_new_lane_owes_nothing_for_the_one_that_had_its_place() {
    let mut schedule = schedule(RULES, &[1, 5]);
    fill(&mut schedule, 2, 1);
    assert_eq!(turn(&mut schedule, |_| 1_000_000).0, 0);
    schedule.remove_lane(0);
    assert_eq!(schedule.add_lane(&7).index, 0);
    schedule.accept(0, charged(7));
    (0..9).for_each(|_| schedule.accept(1, charged(1)));
    let lanes = [turn(&mut schedule, |_| 1).0, turn(&mut schedule, |_| 1).0];
    assert!(lanes.contains(&0), "{lanes:?}");
}

#[test]
fn items_that_are_taken_out_leave_the_lists_right() {
    for dear in [false, true] {
        let mut schedule = schedule(RULES, &[1, 2, 3]);
        fill(&mut schedule, 3, 2);
        if dear {
            // Lane 0 is in debt.
            assert_eq!(turn(&mut schedule, |_| 1_000_000).0, 0);
        }
        while schedule.pop(0).is_some() {
            schedule.assert_whole();
        }
        assert!(schedule.is_idle(0) && !schedule.is_idle(1));
        let items: Vec<_> = schedule.clear(1).into_iter().map(|charged| charged.item).collect();
        assert_eq!(items, [1, 1]);
        schedule.assert_whole();
        assert!(schedule.is_idle(1) && schedule.clear(1).is_empty());
        assert_eq!(schedule.heads(9).copied().collect::<Vec<_>>(), [2]);
        // While it is served: it keeps its share until its turn has ended.
        let mut run = VecDeque::new();
        let lane = schedule.next(&mut run).expect("a lane is ready");
        assert_eq!(lane.index, 2);
        assert_eq!(schedule.clear(2).len(), 1);
        schedule.assert_whole();
        assert!(!schedule.is_ready() && !schedule.is_idle(2));
        schedule.end(lane, Ended { items: 1, service: 1 });
        schedule.assert_whole();
        assert!(schedule.is_idle(2));
        assert_eq!((schedule.queued(), schedule.lanes()), (0, 3));
    }
}

#[test]
fn one_lane_is_served_by_as_many_workers_as_may() {
    let mut schedule = schedule(Rules { lane_workers: 2, ..RULES }, &[1]);
    fill(&mut schedule, 1, 6);
    let (mut run, mut other) = (VecDeque::new(), VecDeque::new());
    let workers = |schedule: &Schedule<u32, u32>| {
        schedule.lane(0).expect("it is there").service.workers.load(Ordering::SeqCst)
    };
    let lane = schedule.next(&mut run).expect("a lane is ready");
    assert!(schedule.next(&mut other).is_some());
    assert!(schedule.next(&mut VecDeque::new()).is_none() && workers(&schedule) == 2);
    assert_eq!((run.len(), other.len()), (1, 1));
    run.clear();
    let ended = Ended { items: 1, service: 1 };
    assert_eq!(schedule.end(Arc::clone(&lane), ended), (false, false), "another serves it");
    schedule.assert_whole();
    assert!(schedule.next(&mut run).is_some());
    assert_eq!(run.len(), 1, "what one holds behind a long item, another could run");
    schedule.clear(0);
    assert_eq!(schedule.end(Arc::clone(&lane), ended), (false, true));
    assert_eq!(schedule.end(lane, ended), (true, true), "the last");
    schedule.assert_whole();
}

// ---- the queue ----

#[test]
fn a_lanes_items_are_taken_in_order_by_one_worker_at_a_time() {
    let queue = Queue::new(&WIDE);
    let lane = lane_of(&queue, 1);
    assert_eq!((submit(&queue, &lane, 0), queue.is_ready()), (Ok(true), true));
    let (mut a, mut b) = (queue.worker(0), queue.worker(1));
    assert_eq!(queue.take(&mut a), Take::Run { more: false });
    // The lane's worker looks once more.
    assert_eq!(submit(&queue, &lane, 1), Ok(false));
    assert_eq!(queue.take(&mut b), Take::Empty);
    assert!(!queue.is_ready());
    // It is queued by now, and the worker that put the lane down wakes for it.
    assert_eq!((end(&queue, &mut a, 1), submit(&queue, &lane, 2)), (vec![0], Ok(false)));
    assert_eq!((serve(&queue, &mut a, 1), serve(&queue, &mut a, 1)), (vec![1, 2], vec![]));
    assert_eq!((queue.admitted(), queue.finished(), queue.in_flight()), (3, 3, 0));
}

#[test]
fn a_brief_lane_beside_a_long_backlog_of_a_dear_one_gets_half_of_the_time() {
    const DEAR: u64 = 1_000_000;
    const CHEAP: u64 = 500;
    for in_flight in [1, 8, 32, 60, 200] {
        let queue = Queue::new(&Limits { workers: 1, quantum: 10_000, ..WIDE });
        let lanes = [lane_of(&queue, 0), lane_of(&queue, 1)];
        let submit_to = |lane: usize| submit(&queue, &lanes[lane], lane as u32).unwrap();
        (0..500).for_each(|_| _ = submit_to(0));
        (0..in_flight).for_each(|_| _ = submit_to(1));
        let mut worker = queue.worker(0);
        let mut served = [0, 0];
        while served[0] + served[1] < 200 * DEAR {
            assert!(matches!(queue.take(&mut worker), Take::Run { .. }));
            let lane = worker.lane().number() as usize;
            let each = [DEAR, CHEAP][lane];
            let mut service = 0;
            while let Some((_, charge)) = worker.pop() {
                service += each;
                queue.finish(&worker, charge);
                // Its submitter waited for that, and submits the next.
                submit_to(lane);
            }
            queue.end_run(&mut worker, service);
            served[lane] += service;
        }
        assert!(served[1] >= 90 * DEAR, "{in_flight} in flight: {served:?}");
    }
}

#[test]
fn among_brief_items_a_worker_keeps_its_distance_to_the_submitters() {
    let queue = Queue::new(&Limits { workers: 1, quantum: 1_000_000, ..WIDE });
    let submit_one = |key: u32| _ = submit(&queue, &lane_of(&queue, key), key).unwrap();
    (0..AHEAD as u32).for_each(submit_one);
    let mut worker = queue.worker(0);
    for turn in 1..AHEAD {
        assert_eq!(queue.take(&mut worker), Take::Run { more: true });
        if turn == 1 {
            submit_one(AHEAD as u32);
        }
        // It looks again when it has taken half of what was queued.
        assert_eq!(queue.inbox.len(), usize::from(turn <= AHEAD / 2), "{turn}");
        let (_, charge) = worker.pop().expect("each lane has one");
        queue.finish(&worker, charge);
        queue.end_run(&mut worker, 1);
    }
}

/// Finishes the run of a worker, each item after so many nanoseconds; returns how many that were.
fn run(queue: &Queue, worker: &mut Worker<u32, u32>, each: u64) -> usize {
    let mut items = 0;
    while let Some((_, charge)) = worker.pop() {
        queue.finish(worker, charge);
        items += 1;
    }
    queue.end_run(worker, each * items as u64);
    items
}

#[test]
fn of_a_run_of_many_brief_items_the_distance_is_kept_and_twice_what_is_taken_is_moved() {
    let queue = Queue::new(&Limits { workers: 1, ..WIDE });
    let lane = lane_of(&queue, 1);
    (0..1_000).for_each(|item| _ = submit(&queue, &lane, item).unwrap());
    let mut worker = queue.worker(0);
    assert_eq!(queue.take(&mut worker), Take::Run { more: false });
    let left = 1_000 - AHEAD;
    assert_eq!((queue.inbox.len(), run(&queue, &mut worker, BRIEF)), (left, 1));
    // That one was not brief: much is moved.
    queue.take(&mut worker);
    let left = left - DRAIN;
    let mut taken = run(&queue, &mut worker, BRIEF / 2);
    assert_eq!((queue.inbox.len(), taken, worker.taken()), (left, RUN - 1, RUN - 1));
    queue.take(&mut worker);
    assert_eq!(queue.inbox.len(), left, "all of that run took longer than one brief item may");
    while queue.inbox.len() == left {
        taken += run(&queue, &mut worker, 1);
        queue.take(&mut worker);
    }
    assert!(taken >= AHEAD && queue.schedule.lock().queued() > AHEAD);
    assert_eq!(queue.inbox.len(), left - 2 * taken);
}

#[test]
fn a_worker_moves_all_that_came_where_its_submitter_has_woken_nobody_or_somebody_has_knocked() {
    let queue = Queue::new(&WIDE);
    let [a, b, c] = [1, 2, 3].map(|key| lane_of(&queue, key));
    assert!(submit(&queue, &a, 0).is_ok());
    (0..100).for_each(|item| _ = submit(&queue, &b, item).unwrap());
    let (mut worker, mut other) = (queue.worker(0), queue.worker(1));
    assert_eq!(queue.take(&mut worker), Take::Run { more: true });
    assert_eq!((worker.lane().number(), queue.inbox.len()), (a.number(), 0));
    // The lane is active. It is so no longer when the worker looks again.
    assert_eq!((submit(&queue, &a, 1), run(&queue, &mut worker, 1)), (Ok(false), 1));
    assert_eq!((queue.take(&mut worker), queue.inbox.len()), (Take::Run { more: true }, 0));
    // This one's is not.
    assert_eq!((submit(&queue, &c, 2), queue.inbox.len()), (Ok(true), 1));
    assert_eq!((queue.take(&mut other), queue.inbox.len()), (Take::Run { more: true }, 0));
}

#[test]
fn a_worker_that_takes_the_last_of_a_lane_that_several_may_serve_moves_all_that_came() {
    let queue = Queue::new(&Limits { lane_workers: 3, ..WIDE });
    let (a, b) = (lane_of(&queue, 1), lane_of(&queue, 2));
    (0..2).for_each(|item| _ = submit(&queue, &a, item).unwrap());
    (0..100).for_each(|item| _ = submit(&queue, &b, item).unwrap());
    let mut workers = [0, 1, 2].map(|index| queue.worker(index));
    let mut take = |index: usize| {
        let worker = &mut workers[index];
        assert_eq!(queue.take(worker), Take::Run { more: true });
        worker.lane().number()
    };
    assert_eq!((take(0), take(1)), (a.number(), b.number()));
    // Something is queued in it. That is taken next, and another may serve what comes.
    assert_eq!((submit(&queue, &a, 2), queue.inbox.len()), (Ok(false), 1));
    assert_eq!((take(2), queue.inbox.len()), (a.number(), 0));
}

#[test]
fn no_debt_is_forgiven_while_another_lanes_item_stands_in_the_inbox() {
    let queue = Queue::new(&Limits { workers: 1, quantum: 1_000, ..WIDE });
    let [dear, brief, late] = [1, 2, 3].map(|key| lane_of(&queue, key));
    (0..100).for_each(|item| _ = submit(&queue, &dear, item).unwrap());
    let mut worker = queue.worker(0);
    let mut take = |of: &Arc<Lane<u32>>, each| {
        assert!(matches!(queue.take(&mut worker), Take::Run { .. }));
        assert_eq!((worker.lane().number(), run(&queue, &mut worker, each)), (of.number(), 1));
    };
    take(&dear, 1_000_000);
    assert!(submit(&queue, &brief, 0).is_ok());
    take(&brief, 1);
    // The worker has no other reason to look.
    assert!(submit(&queue, &late, 0).is_ok());
    take(&late, 1);
    take(&dear, 1);
}

#[test]
fn a_worker_that_finds_the_schedule_taken_learns_it() {
    let queue = Queue::new(&WIDE);
    let lock = queue.schedule.lock();
    assert_eq!(queue.take(&mut queue.worker(0)), Take::Busy);
    drop(lock);
    assert_eq!(queue.take(&mut queue.worker(0)), Take::Empty);
}

#[test]
fn more_items_than_the_inbox_holds_are_admitted() {
    // The inbox is as long as the first bound, which is raised.
    let queue = Queue::new(&Limits { items: 2, ..WIDE });
    queue.set_limits(&WIDE);
    let lane = lane_of(&queue, 1);
    let wakes: Vec<_> = (0..100).map(|item| submit(&queue, &lane, item).unwrap()).collect();
    assert!(wakes[0] && wakes[2], "it knocks; it has moved what is for a worker");
    let mut worker = queue.worker(0);
    let items: Vec<_> = (0..5).flat_map(|_| serve(&queue, &mut worker, 1)).collect();
    assert_eq!(items, (0..100).collect::<Vec<_>>());
}

#[test]
fn bounds_hold_and_deny() {
    let limits = Limits { items: 3, lane_items: 2, ..WIDE };
    let queue = Queue::new(&limits);
    let (a, b) = (lane_of(&queue, 1), lane_of(&queue, 2));
    assert!((0..2).all(|item| submit(&queue, &a, item).is_ok()));
    assert_eq!(submit(&queue, &a, 2), Err(Denied::Full));
    assert!(submit(&queue, &b, 3).is_ok());
    assert_eq!(submit(&queue, &b, 4), Err(Denied::Full));
    assert_eq!((b.entrance.gate.entered(), queue.admitted()), (1, 3), "it was taken back");
    queue.set_limits(&Limits { items: 4, ..limits });
    assert!(submit(&queue, &b, 4).is_ok());
    queue.set_limits(&Limits { items: 9, lane_items: 1, bytes: Some(10), ..limits });
    assert_eq!(submit(&queue, &lane_of(&queue, 3), 5), Ok(true));
    assert_eq!(queue.bytes_in_flight(), 1, "only what is charged");
}

#[test]
fn those_who_wait_are_let_in_when_something_has_finished_and_nobody_passes_them() {
    let queue = Queue::new(&Limits { lane_items: 1, lane_waiters: 2, ..WIDE });
    let lane = lane_of(&queue, 1);
    assert!(submit(&queue, &lane, 0).is_ok());
    let tickets = [wait(&queue, &lane, 1), wait(&queue, &lane, 2)].map(Result::unwrap);
    assert_eq!(wait(&queue, &lane, 3), Err(Denied::TooManyWaiters));
    assert_eq!((queue.waiting(), queue.has_waiters()), (2, true));
    let poll = |ticket| queue.poll_ticket(ticket, Waker::noop());
    assert!(matches!(poll(tickets[0]), Waited::Pending));
    let mut worker = queue.worker(0);
    assert_eq!(queue.take(&mut worker), Take::Run { more: false });
    let (_, charge) = worker.pop().expect("there is one");
    queue.finish(&worker, charge);
    assert_eq!(submit(&queue, &lane, 3), Err(Denied::Full), "others wait");
    assert!(end(&queue, &mut worker, 1).is_empty());
    assert!(matches!(poll(tickets[0]), Waited::Admitted));
    assert!(matches!(poll(tickets[1]), Waited::Pending));
    assert_eq!((serve(&queue, &mut worker, 1), serve(&queue, &mut worker, 1)), (vec![1], vec![2]));
    assert!(matches!(poll(tickets[1]), Waited::Admitted));
    assert_eq!((queue.waiting(), submit(&queue, &lane, 3)), (0, Ok(true)));
}

#[test]
fn a_waiter_for_the_queue_bars_all_and_one_for_a_lane_only_that() {
    let queue = Queue::new(&Limits { items: 3, lane_items: 2, ..WIDE });
    let [a, b, c] = [1, 2, 3].map(|key| lane_of(&queue, key));
    assert!((0..2).all(|item| submit(&queue, &a, item).is_ok()));
    let of_lane = wait(&queue, &a, 2).unwrap();
    assert!(!queue.signals.blocked.load(Ordering::SeqCst));
    assert!(submit(&queue, &b, 3).is_ok());
    let of_queue = wait(&queue, &b, 4).unwrap();
    assert!(queue.signals.blocked.load(Ordering::SeqCst));
    queue.set_limits(&Limits { items: 4, lane_items: 2, ..WIDE });
    assert_eq!(submit(&queue, &c, 5), Err(Denied::Full));
    queue.grant_all(&mut WakeList::default());
    assert!(matches!(queue.poll_ticket(of_queue, Waker::noop()), Waited::Admitted));
    assert!(matches!(queue.poll_ticket(of_lane, Waker::noop()), Waited::Pending));
    // As a hint it may stay until the next who looks.
    queue.set_limits(&WIDE);
    queue.grant_all(&mut WakeList::default());
    assert!(matches!(queue.poll_ticket(of_lane, Waker::noop()), Waited::Admitted));
    assert_eq!(submit(&queue, &c, 5), Ok(true));
}

#[test]
fn who_waits_for_a_byte_of_a_lane_bars_nobody_elses() {
    let queue = Queue::new(&Limits { lane_bytes: Some(1), ..WIDE });
    let (a, b) = (lane_of(&queue, 1), lane_of(&queue, 2));
    assert!(submit(&queue, &a, 0).is_ok());
    let ticket = wait(&queue, &a, 1).unwrap();
    assert_eq!(submit(&queue, &b, 2), Ok(true));
    assert_eq!(serve(&queue, &mut queue.worker(0), 1), [0]);
    assert!(matches!(queue.poll_ticket(ticket, Waker::noop()), Waited::Admitted));
}

#[test]
fn one_call_lets_in_so_many_and_the_next_goes_on() {
    let queue = Queue::new(&Limits { items: 0, ..WIDE });
    let lane = lane_of(&queue, 1);
    assert!((0..100).all(|item| wait(&queue, &lane, item).is_ok()));
    queue.set_limits(&WIDE);
    queue.grant_all(&mut WakeList::default());
    assert_eq!((queue.in_flight(), queue.waiting()), (GRANTS, 100 - GRANTS));
    let mut worker = queue.worker(0);
    let items: Vec<_> = (0..10).flat_map(|_| serve(&queue, &mut worker, 1)).collect();
    assert_eq!(items, (0..100).collect::<Vec<_>>());
}

#[test]
fn a_future_that_is_dropped_leaves_nothing_behind() {
    let queue = Queue::new(&Limits { items: 1, ..WIDE });
    let (a, b) = (lane_of(&queue, 1), lane_of(&queue, 2));
    assert!(submit(&queue, &a, 0).is_ok());
    let (first, second) = (wait(&queue, &a, 1).unwrap(), wait(&queue, &b, 2).unwrap());
    let mut wake = WakeList::default();
    assert!(matches!(queue.leave_ticket(first, &mut wake), Left::Wait(Some(1), _)));
    let mut worker = queue.worker(0);
    assert_eq!(serve(&queue, &mut worker, 1), [0]);
    assert!(
        matches!(queue.leave_ticket(second, &mut wake), Left::Nothing(None)),
        "it was admitted"
    );
    assert_eq!(serve(&queue, &mut worker, 1), [2]);
    let (waiting, blocked) = (queue.waiting(), queue.signals.blocked.load(Ordering::SeqCst));
    assert_eq!((waiting, blocked, queue.in_flight()), (0, false, 0));
}

#[test]
fn a_permit_is_capacity_of_lane_and_queue_until_it_is_filled_or_given_back() {
    let queue = Queue::new(&Limits { items: 2, lane_items: 1, ..WIDE });
    let (a, b) = (lane_of(&queue, 1), lane_of(&queue, 2));
    let (first, second) =
        (wait_for_permit(&queue, &a).unwrap(), wait_for_permit(&queue, &b).unwrap());
    let poll = |ticket| queue.poll_ticket(ticket, Waker::noop());
    // As often as it is asked.
    assert!((0..2).all(|_| matches!(poll(first), Waited::Admitted)));
    assert_eq!((submit(&queue, &a, 0), queue.in_flight()), (Err(Denied::Full), 2));
    let third = wait_for_permit(&queue, &a).unwrap();
    assert!(matches!(poll(third), Waited::Pending));
    let mut wake = WakeList::default();
    assert_eq!(queue.fill(first, 7, 1, &mut wake), Ok(()));
    assert!(wake.worker && queue.in_flight() == 2);
    let mut worker = queue.worker(0);
    assert_eq!(serve(&queue, &mut worker, 1), [7]);
    assert!(matches!(poll(third), Waited::Admitted), "its lane has capacity again");
    for (ticket, own) in [(second, &b), (third, &a)] {
        let Left::Permit(lane) = queue.leave_ticket(ticket, &mut wake) else { panic!("no permit") };
        assert!(Arc::ptr_eq(&lane, own));
        queue.finish_discarded(&lane, 0, &mut wake);
    }
    assert_eq!((queue.in_flight(), queue.waiting(), queue.admitted()), (0, 0, 3));
}

#[test]
fn a_permit_is_granted_while_any_byte_is_free_and_filled_whatever_it_costs() {
    let queue = Queue::new(&Limits { bytes: Some(4), ..WIDE });
    let a = lane_of(&queue, 1);
    let tickets: Vec<_> = (0..2).map(|_| wait_for_permit(&queue, &a).unwrap()).collect();
    let mut wake = WakeList::default();
    tickets.iter().for_each(|&ticket| assert_eq!(queue.fill(ticket, 0, 9, &mut wake), Ok(())));
    assert_eq!(queue.bytes_in_flight(), 18);
    let third = wait_for_permit(&queue, &a).unwrap();
    assert!(matches!(queue.poll_ticket(third, Waker::noop()), Waited::Pending));
    let mut worker = queue.worker(0);
    while !serve(&queue, &mut worker, 1).is_empty() {}
    assert_eq!(queue.bytes_in_flight(), 0);
    assert!(matches!(queue.poll_ticket(third, Waker::noop()), Waited::Admitted));
}

#[test]
fn permits_are_revoked_by_their_lanes_end_and_by_the_queues() {
    let queue = Queue::new(&Limits { items: 3, ..WIDE });
    let lanes: Vec<_> = (1..4).map(|key| lane_of(&queue, key)).collect();
    let tickets: Vec<_> = lanes.iter().map(|lane| wait_for_permit(&queue, lane).unwrap()).collect();
    let late = wait_for_permit(&queue, &lanes[0]).unwrap();
    let mut wake = WakeList::default();
    let revoked = Departed { refused: 1, revoked: 1 };
    assert_eq!(queue.retire_lane(&lanes[0], &mut wake), revoked);
    assert!(!wake.left && !lanes[0].is_left(), "its permit is yet to be given back");
    queue.finish_discarded(&lanes[0], 0, &mut wake);
    assert!(wake.left && lanes[0].is_left());
    let revoked = Departed { refused: 0, revoked: 1 };
    assert_eq!(queue.cancel_lane(&lanes[1], &mut wake), (vec![], revoked));
    queue.finish_discarded(&lanes[1], 0, &mut wake);
    let (refused, lanes_of_revoked) = queue.close(&mut wake);
    assert!(refused == 0 && lanes_of_revoked.len() == 1);
    assert!(Arc::ptr_eq(&lanes_of_revoked[0], &lanes[2]) && !queue.is_over());
    queue.finish_discarded(&lanes[2], 0, &mut wake);
    assert!(queue.is_over());
    let fills: Vec<_> = tickets.iter().map(|&ticket| queue.fill(ticket, 5, 1, &mut wake)).collect();
    let (cancelled, closed) = (Err((5, Refusal::Cancelled)), Err((5, Refusal::Closed)));
    assert_eq!(fills, [cancelled, cancelled, closed]);
    let waited = queue.poll_ticket(late, Waker::noop());
    assert!(matches!(waited, Waited::Refused(None, Refusal::Cancelled)));
}

#[test]
fn a_permit_that_nobody_asks_for_is_revoked_at_the_second_look() {
    let queue = Queue::new(&Limits { items: 4, ..WIDE });
    let lanes: Vec<_> = (1..4).map(|key| lane_of(&queue, key)).collect();
    // One that is had without a wait is known, and never revoked.
    wait_for_permit(&queue, &lanes[0]).unwrap();
    (0..3).for_each(|item| _ = submit(&queue, &lanes[0], item).unwrap());
    let tickets: Vec<_> = lanes.iter().map(|lane| wait_for_permit(&queue, lane).unwrap()).collect();
    let poll = |ticket| queue.poll_ticket(ticket, Waker::noop());
    assert!(matches!(poll(tickets[0]), Waited::Pending));
    let mut worker = queue.worker(0);
    while !serve(&queue, &mut worker, 1).is_empty() {}
    assert!(matches!(poll(tickets[0]), Waited::Admitted));
    assert!(queue.revoke_idle().is_empty(), "their owners may be about to ask");
    assert!(matches!(poll(tickets[1]), Waited::Admitted));
    let revoked = queue.revoke_idle();
    assert!(revoked.len() == 1 && Arc::ptr_eq(&revoked[0], &lanes[2]));
    assert!(queue.revoke_idle().is_empty() && queue.permits() == 3);
    let mut wake = WakeList::default();
    queue.finish_discarded(&lanes[2], 0, &mut wake);
    assert!(matches!(poll(tickets[2]), Waited::Refused(None, Refusal::Idle)));
    assert_eq!(queue.fill(tickets[0], 0, 9, &mut wake), Ok(()));
    assert_eq!(queue.bytes_in_flight(), 0, "without a bound in bytes nothing is charged");
}

#[test]
fn one_who_wants_a_permit_may_wait_where_nobody_else_may() {
    let queue = Queue::new(&Limits { items: 1, lane_waiters: 0, ..WIDE });
    let a = lane_of(&queue, 1);
    assert!(submit(&queue, &a, 0).is_ok());
    assert_eq!(wait(&queue, &a, 1), Err(Denied::TooManyWaiters));
    let ticket = wait_for_permit(&queue, &a).unwrap();
    assert_eq!(wait_for_permit(&queue, &a), Err(Denied::TooManyWaiters));
    let mut worker = queue.worker(0);
    assert_eq!(serve(&queue, &mut worker, 1), [0]);
    assert!(matches!(queue.poll_ticket(ticket, Waker::noop()), Waited::Admitted));
}

#[test]
fn a_cancelled_lane_gives_its_items_back_and_refuses_who_waits() {
    let queue = Queue::new(&Limits { items: 4, ..WIDE });
    let (a, b) = (lane_of(&queue, 1), lane_of(&queue, 2));
    let mut worker = queue.worker(0);
    assert!(submit(&queue, &a, 0).is_ok());
    assert_eq!(queue.take(&mut worker), Take::Run { more: false });
    assert!([1, 2].into_iter().all(|item| submit(&queue, &a, item).is_ok()));
    assert!(submit(&queue, &b, 3).is_ok());
    let count = Arc::new(Counted::default());
    let ticket = wait(&queue, &a, 4).unwrap();
    assert!(matches!(queue.poll_ticket(ticket, &Arc::clone(&count).into()), Waited::Pending));
    let mut wake = WakeList::default();
    let (items, departed) = queue.cancel_lane(&a, &mut wake);
    wake.wake_submitters();
    assert_eq!((items, departed, count.count()), (vec![(1, 0), (2, 0)], refused(1), 1));
    let waited = queue.poll_ticket(ticket, Waker::noop());
    assert!(matches!(waited, Waited::Refused(Some(4), Refusal::Cancelled)));
    assert_eq!(
        (submit(&queue, &a, 5), wait(&queue, &a, 5)),
        (Err(Denied::LaneClosed), Err(Denied::LaneClosed))
    );
    // The worker finds the rest of its run cancelled, and the key may have another lane at once.
    assert!(a.is_cancelled() && !a.wait_until_left(Duration::ZERO));
    let again = lane_of(&queue, 1);
    assert!(!again.is_cancelled() && again.number() != a.number());
    (0..2).for_each(|_| queue.finish_discarded(&a, 0, &mut wake));
    assert_eq!(end(&queue, &mut worker, 1), [0]);
    assert!(a.wait_until_left(Duration::ZERO));
    assert_eq!(serve(&queue, &mut worker, 1), [3]);
    assert_eq!((queue.schedule.lock().lanes(), queue.in_flight()), (2, 0));
}

#[test]
fn a_cancelled_lane_in_whose_line_the_last_waited_bars_nobody() {
    let queue = Queue::new(&Limits { items: 1, ..WIDE });
    let (a, b) = (lane_of(&queue, 1), lane_of(&queue, 2));
    assert!(submit(&queue, &a, 0).is_ok());
    wait(&queue, &b, 1).unwrap();
    let mut wake = WakeList::default();
    assert_eq!(queue.cancel_lane(&b, &mut wake).1, refused(1));
    let mut worker = queue.worker(0);
    assert_eq!(serve(&queue, &mut worker, 1), [0]);
    assert_eq!(submit(&queue, &a, 2), Ok(true), "nobody waits");
}

#[test]
fn a_lane_that_is_cancelled_late_takes_nothing_from_its_successor() {
    let queue = Queue::new(&Limits { items: 1, lanes: 1, ..WIDE });
    let before = lane_of(&queue, 1);
    let after = lane_of(&queue, 2);
    assert_eq!((before.number(), before.is_closed()), (after.number(), true));
    assert!(submit(&queue, &after, 0).is_ok());
    let ticket = wait(&queue, &after, 1).unwrap();
    let mut wake = WakeList::default();
    assert_eq!(queue.cancel_lane(&before, &mut wake), (vec![], refused(0)));
    assert_eq!((queue.evict(&before, &mut WakeList::default()), queue.waiting()), (None, 1));
    assert!(matches!(queue.poll_ticket(ticket, Waker::noop()), Waited::Pending));
    assert_eq!(queue.evict(&after, &mut WakeList::default()), Some((0, 0)));
    queue.finish_discarded(&after, 0, &mut wake);
    assert!(matches!(queue.poll_ticket(ticket, Waker::noop()), Waited::Admitted));
}

/// Submits items of one byte from the front; returns how many, and whether a worker is to be woken.
fn submit_many(
    queue: &Queue,
    lane: &Arc<Lane<u32>>,
    items: &mut VecDeque<(u32, u32)>,
) -> Result<(usize, bool), Denied> {
    let mut wake = WakeList::default();
    let before = items.len();
    let submitted = queue.submit_many(lane, items, &mut wake);
    assert!(!wake.has_submitters());
    assert_eq!(before - items.len(), submitted.unwrap_or(0));
    submitted.map(|submitted| (submitted, wake.worker))
}

fn items(numbers: std::ops::Range<u32>) -> VecDeque<(u32, u32)> {
    numbers.map(|item| (item, 1)).collect()
}

#[test]
fn items_that_are_submitted_together_are_one_entry_for_sixteen_of_them_and_keep_their_order() {
    let queue = Queue::new(&WIDE);
    let lane = lane_of(&queue, 1);
    assert_eq!(submit_many(&queue, &lane, &mut items(0..0)), Ok((0, false)));
    assert_eq!(submit(&queue, &lane, 0), Ok(true));
    assert_eq!(submit_many(&queue, &lane, &mut items(1..36)), Ok((35, true)));
    assert_eq!(submit(&queue, &lane, 36), Ok(true));
    assert_eq!((queue.inbox.len(), queue.in_flight()), (1 + 3 + 1, 37));
    let mut worker = queue.worker(0);
    let runs: Vec<_> = (0..4).map(|_| serve(&queue, &mut worker, 1)).collect();
    // A row becomes a chunk, and a run, without a copy; a short one is moved behind the last.
    assert_eq!(runs.iter().map(Vec::len).collect::<Vec<_>>(), [1, 16, 20, 0]);
    assert!(runs.into_iter().flatten().eq(0..37));
    assert_eq!((queue.finished(), queue.in_flight()), (37, 0));
    // The rows are used again.
    assert_eq!(queue.spare_rows.len(), 3);
    assert!(submit_many(&queue, &lane, &mut items(0..20)).is_ok());
    assert_eq!(queue.spare_rows.len(), 1);
    assert_eq!(queue.clear(&mut WakeList::default()).len(), 20);
    assert_eq!(queue.spare_rows.len(), 3);
}

#[test]
fn as_many_items_are_admitted_as_the_bounds_allow_and_the_rest_stays() {
    let limits = Limits { items: 30, lane_items: 20, ..WIDE };
    let queue = Queue::new(&limits);
    let (a, b) = (lane_of(&queue, 1), lane_of(&queue, 2));
    let mut offered = items(0..40);
    assert_eq!(submit_many(&queue, &a, &mut offered), Ok((20, true)));
    assert_eq!(submit_many(&queue, &a, &mut offered), Err(Denied::Full));
    assert_eq!((offered.len(), offered[0]), (20, (20, 1)));
    // The permits of the lane that came to nothing are taken back, the queue's never shown.
    assert_eq!(submit_many(&queue, &b, &mut offered), Ok((10, true)));
    assert_eq!((b.entrance.gate.entered(), queue.admitted()), (10, 30));
    assert_eq!(submit_many(&queue, &b, &mut offered), Err(Denied::Full));
    assert_eq!((b.entrance.gate.entered(), queue.admitted(), offered.len()), (10, 30, 10));
    let _ = queue.cancel_lane(&a, &mut WakeList::default());
    assert_eq!(submit_many(&queue, &a, &mut offered), Err(Denied::LaneClosed));
    queue.close(&mut WakeList::default());
    assert_eq!(submit_many(&queue, &b, &mut offered), Err(Denied::Closed));
    assert_eq!((b.entrance.gate.entered(), offered.len()), (10, 10));
    // Also where the last row that was admitted is a whole one.
    let queue = Queue::new(&Limits { lane_items: rows::ROW, ..WIDE });
    let submitted = submit_many(&queue, &lane_of(&queue, 1), &mut items(0..20));
    assert_eq!(submitted, Ok((rows::ROW, true)));
}

#[test]
fn bytes_bound_what_is_submitted_together() {
    for (bytes, lane_bytes) in [(Some(10), None), (None, Some(10)), (Some(10), Some(100))] {
        let queue = Queue::new(&Limits { bytes, lane_bytes, ..WIDE });
        let lane = lane_of(&queue, 1);
        let mut offered: VecDeque<_> = [(0, 3), (1, 3), (2, 3), (3, 7), (4, 1)].into();
        assert_eq!(submit_many(&queue, &lane, &mut offered), Ok((4, true)));
        let in_flight = (queue.bytes.used(), lane.entrance.bytes.used(), queue.in_flight());
        assert_eq!(in_flight, (16, 16, 4), "the last may exceed the bound");
        assert_eq!(submit_many(&queue, &lane, &mut offered), Err(Denied::Full));
        assert_eq!((lane.entrance.gate.entered(), lane.in_flight()), (4, (4, 16)));
        let mut worker = queue.worker(0);
        let served: Vec<_> = (0..2).flat_map(|_| serve(&queue, &mut worker, 1)).collect();
        assert_eq!((served, lane.in_flight()), (vec![0, 1, 2, 3], (0, 0)));
        assert_eq!(submit_many(&queue, &lane, &mut offered), Ok((1, true)));
    }
    // Where the queue has fewer permits than bytes, the rest of the bytes is given back.
    let queue = Queue::new(&Limits { items: 2, bytes: Some(10), lane_bytes: Some(10), ..WIDE });
    let lane = lane_of(&queue, 1);
    assert_eq!(submit_many(&queue, &lane, &mut items(0..4)), Ok((2, true)));
    assert_eq!((queue.bytes.used(), lane.entrance.bytes.used()), (2, 2));
}

#[test]
fn items_that_are_submitted_together_pass_nobody_who_waits() {
    let queue = Queue::new(&Limits { lane_items: 1, ..WIDE });
    let (a, b) = (lane_of(&queue, 1), lane_of(&queue, 2));
    assert!(submit(&queue, &a, 0).is_ok());
    let ticket = wait(&queue, &a, 1).unwrap();
    assert!(matches!(queue.poll_ticket(ticket, Waker::noop()), Waited::Pending));
    queue.set_limits(&WIDE);
    assert_eq!(submit_many(&queue, &a, &mut items(2..4)), Err(Denied::Full));
    assert_eq!(submit_many(&queue, &b, &mut items(2..4)), Ok((2, true)), "that is another lane");
    let mut wake = WakeList::default();
    queue.grant_all(&mut wake);
    assert!(wake.worker && wake.has_submitters(), "there is an item more");
    assert!(matches!(queue.poll_ticket(ticket, Waker::noop()), Waited::Admitted));
    assert!(submit_many(&queue, &a, &mut items(2..4)).is_ok());
}

#[test]
fn a_worker_moves_so_many_items_and_not_so_many_rows() {
    for other_lanes in [0, WARM_LANES as u32 + 1] {
        let queue = Queue::new(&Limits { items: 10_000, lane_items: 10_000, workers: 1, ..WIDE });
        let lane = lane_of(&queue, 1);
        (0..other_lanes).for_each(|key| _ = lane_of(&queue, 10 + key));
        assert!(submit_many(&queue, &lane, &mut items(0..2_000)).is_ok());
        let mut worker = queue.worker(0);
        assert!(matches!(queue.take(&mut worker), Take::Run { .. }));
        let taken = worker.taken();
        let queued = queue.schedule.lock().queued() + taken;
        let most = if other_lanes == 0 { AHEAD } else { HANDFUL * rows::ROW };
        assert!((AHEAD..=most).contains(&queued), "{queued}");
        let mut served = end(&queue, &mut worker, 1);
        while queue.in_flight() > 0 {
            served.extend(serve(&queue, &mut worker, 1));
        }
        assert!(served.into_iter().eq(0..2_000));
    }
}

#[test]
fn among_many_lanes_all_is_moved_that_is_there() {
    let queue = Queue::new(&WIDE);
    let lanes = (0..=WARM_LANES as u32).map(|key| lane_of(&queue, key));
    lanes.for_each(|lane| assert!(submit(&queue, &lane, *lane.key()).is_ok()));
    assert_eq!(queue.clear(&mut WakeList::default()).len(), WARM_LANES + 1);
}

#[test]
fn a_row_that_finds_the_inbox_full_makes_space() {
    // The inbox is as long as the first bound, which is raised.
    let queue = Queue::new(&Limits { items: 2, ..WIDE });
    queue.set_limits(&WIDE);
    let lane = lane_of(&queue, 1);
    assert_eq!(submit_many(&queue, &lane, &mut items(0..100)), Ok((100, true)));
    let mut worker = queue.worker(0);
    let served: Vec<_> = (0..10).flat_map(|_| serve(&queue, &mut worker, 1)).collect();
    assert!(served.into_iter().eq(0..100));
}

/// Does what another thread may see of `cancel_lane` that has not yet come to its locks.
fn begin_to_cancel(lane: &Lane<u32>) {
    lane.service.cancelled.store(true, Ordering::Release);
    lane.service.departs.store(true, Ordering::Release);
    lane.entrance.gate.close();
}

#[test]
fn while_a_lane_is_being_cancelled_its_line_is_not_mistaken_for_another_lanes() {
    let queue = Queue::new(&Limits { items: 1, lanes: 2, ..WIDE });
    let (a, b) = (lane_of(&queue, 1), lane_of(&queue, 2));
    assert!(submit(&queue, &b, 0).is_ok());
    let of_a = wait(&queue, &a, 1).unwrap();
    begin_to_cancel(&a);
    // It is over, and its place goes to another while somebody still stands in its line.
    let c = lane_of(&queue, 3);
    let of_c = wait(&queue, &c, 2).unwrap();
    let mut wake = WakeList::default();
    assert_eq!(queue.cancel_lane(&a, &mut wake).1, refused(1));
    assert!(matches!(queue.poll_ticket(of_a, Waker::noop()), Waited::Refused(Some(1), _)));
    assert!(matches!(queue.poll_ticket(of_c, Waker::noop()), Waited::Pending));
    let mut worker = queue.worker(0);
    assert_eq!((serve(&queue, &mut worker, 1), serve(&queue, &mut worker, 1)), (vec![0], vec![2]));
    assert_eq!((queue.waiting(), queue.in_flight()), (0, 0));
}

#[test]
fn while_a_lane_is_being_cancelled_its_key_gets_another() {
    let queue = Queue::new(&WIDE);
    let a = lane_of(&queue, 1);
    begin_to_cancel(&a);
    let b = lane_of(&queue, 1);
    assert!(
        !b.is_closed()
            && queue.with_lane(&1, |lane| lane.is_some_and(|lane| Arc::ptr_eq(lane, &b)))
    );
    assert_eq!(submit(&queue, &b, 0), Ok(true));
    let _ = queue.cancel_lane(&a, &mut WakeList::default());
    assert_eq!(serve(&queue, &mut queue.worker(0), 1), [0]);
}

#[test]
fn a_weight_that_comes_while_the_lane_is_being_cancelled_is_not_given_to_another() {
    let queue = Queue::new(&WIDE);
    let a = lane_of(&queue, 1);
    let mut worker = queue.worker(0);
    assert!(submit(&queue, &a, 0).is_ok());
    assert_eq!(queue.take(&mut worker), Take::Run { more: false });
    begin_to_cancel(&a);
    assert_eq!(end(&queue, &mut worker, 1), [0]);
    assert_eq!(queue.take(&mut worker), Take::Empty);
    let b = lane_of(&queue, 2);
    assert_eq!(b.number(), a.number());
    assert!(queue.set_weight(&1, 5));
    assert_eq!(queue.schedule.lock().weight_of(b.number()), 1);
    let _ = queue.cancel_lane(&a, &mut WakeList::default());
    let again = lane_of(&queue, 1);
    assert_eq!(queue.schedule.lock().weight_of(again.number()), 5);
}

#[test]
fn a_lane_that_was_cancelled_while_a_permit_was_held_for_a_moment_is_removed() {
    let queue = Queue::new(&Limits { items: 0, ..WIDE });
    let a = lane_of(&queue, 1);
    // What another thread sees of a submitter that has the lane's permit and finds none of the queue's.
    assert_eq!(a.entrance.gate.enter(9, 1, || 0), Ok(1));
    let _ = queue.cancel_lane(&a, &mut WakeList::default());
    assert_eq!(queue.schedule.lock().lanes(), 1, "the item may still come");
    let mut wake = WakeList::default();
    queue.undo(&a, 1, &mut wake);
    assert_eq!((queue.schedule.lock().lanes(), wake.left, a.is_left()), (0, true, true));
}

/// Retires a lane; returns how many were refused, and whether it is left by that.
fn retire(queue: &Queue, lane: &Arc<Lane<u32>>) -> (usize, bool) {
    let mut wake = WakeList::default();
    let barred = queue.retire_lane(lane, &mut wake);
    assert_eq!((barred.revoked, lane.is_left()), (0, wake.left));
    wake.wake_submitters();
    (barred.refused, wake.left)
}

#[test]
fn a_retired_lane_is_served_to_its_end_in_order_and_somebody_is_told_once() {
    let queue = Queue::new(&Limits { items: 4, quantum: 0, ..WIDE });
    let a = lane_of(&queue, 1);
    assert!(queue.set_weight(&1, 3));
    assert!((0..4).all(|item| submit(&queue, &a, item).is_ok()));
    let count = Arc::new(Counted::default());
    let ticket = wait(&queue, &a, 4).unwrap();
    assert!(matches!(queue.poll_ticket(ticket, &Arc::clone(&count).into()), Waited::Pending));
    assert_eq!((retire(&queue, &a), count.count()), ((1, false), 1));
    let waited = queue.poll_ticket(ticket, Waker::noop());
    assert!(matches!(waited, Waited::Refused(Some(4), Refusal::Cancelled)));
    assert_eq!(
        (submit(&queue, &a, 5), wait(&queue, &a, 5)),
        (Err(Denied::LaneClosed), Err(Denied::LaneClosed))
    );
    // Its key has another lane at once, with the key's weight; it keeps its own place.
    let again = lane_of(&queue, 1);
    assert!(again.number() != a.number() && queue.set_weight(&1, 5));
    let weights = [&a, &again].map(|lane| queue.schedule.lock().weight_of(lane.number()));
    assert_eq!((weights, queue.key_of(a.tag())), ([3, 5], Some(1)));
    let mut worker = queue.worker(0);
    for item in 0..4 {
        assert_eq!(queue.take(&mut worker), Take::Run { more: false });
        assert!(!worker.take_left() && !a.is_left() && !a.is_cancelled());
        assert_eq!((end(&queue, &mut worker, 1), worker.take_left()), (vec![item], item == 3));
        assert_eq!(a.is_left(), item == 3);
        schedule_of(&queue, if item < 3 { 2 } else { 1 });
    }
    assert_eq!((worker.take_left(), retire(&queue, &again)), (false, (0, true)));
    schedule_of(&queue, 0);
    // Its place is given back once.
    assert_ne!(lane_of(&queue, 2).number(), lane_of(&queue, 3).number());
}

/// The queue has so many lanes, and its schedule is whole.
fn schedule_of(queue: &Queue, lanes: usize) {
    let schedule = queue.schedule.lock();
    schedule.assert_whole();
    assert_eq!(schedule.lanes(), lanes);
}

#[test]
fn a_retired_lane_is_left_whoever_ends_its_last_item() {
    type Ends = fn(&Queue, &Arc<Lane<u32>>, &mut WakeList) -> Vec<(u32, u32)>;
    let ends: [Ends; 3] = [
        |queue, lane, wake| queue.evict(lane, wake).into_iter().collect(),
        |queue, _, wake| {
            let cleared = queue.clear(wake).into_iter();
            cleared.map(|(_, item, charge)| (item, charge)).collect()
        },
        |queue, lane, wake| queue.cancel_lane(lane, wake).0,
    ];
    for ends in ends {
        let queue = Queue::new(&WIDE);
        let a = lane_of(&queue, 1);
        assert!(submit(&queue, &a, 0).is_ok());
        assert_eq!(retire(&queue, &a), (0, false));
        let mut wake = WakeList::default();
        let items = ends(&queue, &a, &mut wake);
        assert_eq!((items.as_slice(), wake.left, a.is_left()), ([(0, 0)].as_slice(), false, false));
        queue.finish_discarded(&a, 0, &mut wake);
        assert!(wake.left && a.is_left());
        schedule_of(&queue, 0);
        // Neither a second departure nor the queue's end tells of it again.
        let mut wake = WakeList::default();
        let _ = queue.cancel_lane(&a, &mut wake);
        let _ = queue.retire_lane(&a, &mut wake);
        queue.close(&mut wake);
        assert!(!wake.left && a.is_left() && queue.is_over());
    }
}

#[test]
fn a_retired_lane_that_is_cancelled_starts_nothing_more_and_is_left_by_its_worker() {
    let queue = Queue::new(&WIDE);
    let a = lane_of(&queue, 1);
    let mut worker = queue.worker(0);
    assert!(submit(&queue, &a, 0).is_ok());
    assert_eq!(queue.take(&mut worker), Take::Run { more: false });
    assert!(submit(&queue, &a, 1).is_ok());
    assert_eq!(retire(&queue, &a), (0, false));
    let mut wake = WakeList::default();
    let cancelled = queue.cancel_lane(&a, &mut wake);
    assert_eq!((cancelled, a.is_cancelled()), ((vec![(1, 0)], refused(0)), true));
    queue.finish_discarded(&a, 0, &mut wake);
    assert!(!wake.left && !a.is_left() && !a.wait_until_left(Duration::ZERO));
    assert_eq!((end(&queue, &mut worker, 1), worker.take_left()), (vec![0], true));
    assert!(a.is_left() && a.wait_until_left(Duration::ZERO));
    schedule_of(&queue, 0);
}

#[test]
fn a_lane_whose_place_a_newcomer_has_taken_is_left_by_who_comes_for_it() {
    let queue = Queue::new(&Limits { lanes: 1, ..WIDE });
    let a = lane_of(&queue, 1);
    assert!(submit(&queue, &a, 0).is_ok());
    assert_eq!(retire(&queue, &a), (0, false));
    let mut wake = WakeList::default();
    assert_eq!(queue.evict(&a, &mut wake), Some((0, 0)));
    // What another thread may see of `finish_discarded` that has not yet come to its lock.
    a.entrance.discarded.fetch_add(1, Ordering::SeqCst);
    queue.discarded.fetch_add(1, Ordering::SeqCst);
    let b = lane_of(&queue, 2);
    assert!(b.number() == a.number() && !a.is_left());
    let mut schedule = queue.schedule.lock();
    assert!(queue.remove_if_over(&mut schedule, &a) && a.is_left());
    assert!(!queue.remove_if_over(&mut schedule, &a));
    drop(schedule);
    schedule_of(&queue, 1);
    assert!(submit(&queue, &b, 1).is_ok());
}

#[test]
fn what_others_than_workers_move_out_of_the_inbox_is_still_ready() {
    let queue = Queue::new(&WIDE);
    let (a, b) = (lane_of(&queue, 1), lane_of(&queue, 2));
    assert!(submit(&queue, &a, 0).is_ok());
    assert_eq!(queue.evict(&b, &mut WakeList::default()), None);
    assert!(queue.is_ready());
    assert_eq!(queue.evict(&a, &mut WakeList::default()), Some((0, 0)));
    assert!(!queue.is_ready());
    queue.finish_discarded(&a, 0, &mut WakeList::default());
    // Its submitter may find the lane active by that, and wake nobody.
    assert!(submit(&queue, &a, 1).is_ok());
    let mut wake = WakeList::default();
    assert_eq!(queue.fold_heads(&mut wake, 0, |sum, item| sum + item), 1);
    assert!(wake.worker && queue.is_ready());
}

#[test]
fn a_newcomer_takes_the_place_of_an_unused_lane_and_of_no_other() {
    let queue = Queue::new(&Limits { lanes: 3, lane_items: 1, ..WIDE });
    let [a, b, c] = [1, 2, 3].map(|key| lane_of(&queue, key));
    assert!(submit(&queue, &a, 0).is_ok());
    assert!(submit(&queue, &b, 1).is_ok());
    wait(&queue, &b, 2).unwrap();
    let d = lane_of(&queue, 4);
    assert!(c.is_closed() && !d.is_closed() && d.number() == c.number());
    assert_eq!(submit(&queue, &c, 3), Err(Denied::LaneClosed));
    assert!(queue.with_lane(&3, |lane| lane.is_none()));
    assert!(submit(&queue, &d, 4).is_ok());
    assert!(queue.lane(&3).is_none(), "all are in use");
    let mut worker = queue.worker(0);
    assert_eq!(queue.take(&mut worker), Take::Run { more: true });
    let (_, charge) = worker.pop().expect("there is one");
    queue.finish(&worker, charge);
    queue.end_run(&mut worker, 1);
    assert!(queue.lane(&3).is_none(), "its worker has not looked again");
    assert_eq!(serve(&queue, &mut worker, 1), [1]);
    assert_eq!(lane_of(&queue, 3).number(), a.number());
}

#[test]
fn all_that_is_queued_comes_back_and_what_runs_does_not() {
    let queue = Queue::new(&WIDE);
    let (a, b) = (lane_of(&queue, 1), lane_of(&queue, 2));
    let mut worker = queue.worker(0);
    assert!(submit(&queue, &a, 0).is_ok());
    assert_eq!(queue.take(&mut worker), Take::Run { more: false });
    assert!([1, 2].into_iter().all(|item| submit(&queue, &a, item).is_ok()));
    assert!(submit(&queue, &b, 3).is_ok());
    let items = queue.clear(&mut WakeList::default());
    let of = |key: u32| {
        let of_key = items.iter().filter(move |(lane, ..)| *lane.key() == key);
        of_key.map(|&(_, item, _)| item).collect::<Vec<_>>()
    };
    assert_eq!((of(1), of(2), queue.is_ready()), (vec![1, 2], vec![3], false));
    for (lane, _, charge) in items {
        queue.finish_discarded(&lane, charge, &mut WakeList::default());
    }
    assert_eq!((queue.in_flight(), end(&queue, &mut worker, 1)), (1, vec![0]));
}

#[test]
fn a_closed_queue_is_over_when_the_last_item_has_finished() {
    let queue = Queue::new(&Limits { items: 1, ..WIDE });
    let lane = lane_of(&queue, 1);
    assert!(submit(&queue, &lane, 0).is_ok());
    let ticket = wait(&queue, &lane, 1).unwrap();
    assert!(!queue.is_over());
    assert_eq!(queue.close(&mut WakeList::default()).0, 1);
    assert_eq!(queue.close(&mut WakeList::default()).0, 0);
    let waited = queue.poll_ticket(ticket, Waker::noop());
    assert!(matches!(waited, Waited::Refused(Some(1), Refusal::Closed)));
    assert_eq!(submit(&queue, &lane, 2), Err(Denied::Closed));
    assert_eq!(wait(&queue, &lane, 2), Err(Denied::Closed));
    assert!(queue.is_closed() && !queue.is_over());
    assert_eq!(serve(&queue, &mut queue.worker(0), 1), [0]);
    assert!(queue.is_over() && queue.waiting() == 0);
}

#[test]
fn oldest_items_and_keys_are_shown() {
    let queue = Queue::new(&WIDE);
    for (key, item) in [(1, 10), (1, 11), (2, 20)] {
        assert!(submit(&queue, &lane_of(&queue, key), item).is_ok());
    }
    let heads = |queue: &Queue| {
        queue.fold_heads(&mut WakeList::default(), Vec::new(), |mut heads, &item| {
            heads.push(item);
            heads
        })
    };
    assert_eq!(heads(&queue), [10, 20], "what is in the inbox counts, too");
    // So does what stands behind an item that runs.
    let mut worker = queue.worker(0);
    assert!(matches!(queue.take(&mut worker), Take::Run { .. }));
    assert_eq!(heads(&queue), [11, 20]);
    let (_, charge) = worker.pop().unwrap();
    queue.finish(&worker, charge);
    queue.end_run(&mut worker, 1);
    assert_eq!(queue.evict(&lane_of(&queue, 3), &mut WakeList::default()), None);
    assert_eq!(heads(&queue), [11, 20]);
    assert_eq!(queue.key_of(lane_of(&queue, 2).tag()), Some(2));
    assert_eq!(queue.key_of(99), None);
    assert_eq!(queue.keys(), 3);
}
