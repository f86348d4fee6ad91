//! The queue beside a plain one, through random steps.

use std::collections::HashSet;

use proptest::{collection::vec, prelude::*};

use super::*;

const KEYS: u32 = 5;
const WORKERS: usize = 3;

#[derive(Clone, Debug)]
enum Step {
    /// Makes the key's lane, as a peer that comes does.
    Lane(u32),
    /// Submits, and if there is no capacity goes to wait.
    Submit {
        key: u32,
        bytes: u32,
        may_wait: bool,
    },
    /// The same on a lane that a submitter has remembered, and that may be closed long since.
    SubmitRemembered {
        lane: usize,
        bytes: u32,
    },
    /// Several at once; 0 bytes stand for one to three by turns.
    SubmitMany {
        lane: usize,
        count: usize,
        bytes: u32,
    },
    Poll(usize),
    LeaveTicket(usize),
    /// Waits for a permit of a key's lane.
    WaitForPermit(u32),
    /// Fills a permit, if it is granted.
    Fill {
        at: usize,
        bytes: u32,
    },
    /// Drops a permit, or the wait for it.
    LeavePermit(usize),
    Take(usize),
    Finish(usize),
    EndRun {
        worker: usize,
        service: u64,
    },
    Cancel(usize),
    Retire(usize),
    Evict(usize),
    /// Replaces what leaves the same remainder.
    Replace {
        lane: usize,
        bytes: u32,
        modulus: u32,
    },
    Clear,
    SetLimits(Bounds),
    SetWeight(u32, u32),
    Close,
}

type Bounds = (usize, usize, Option<u64>, Option<u64>, u64);

fn bounds() -> impl Strategy<Value = Bounds> {
    let bytes = || prop_oneof![3 => Just(None), 1 => (0..40_u64).prop_map(Some)];
    (
        prop_oneof![0..8_usize, 0..60_usize],
        prop_oneof![0..5_usize, 0..40_usize],
        bytes(),
        bytes(),
        prop_oneof![Just(0_u64), Just(100), Just(10_000)],
    )
}

fn step() -> impl Strategy<Value = Step> {
    let (key, bytes) = (0..KEYS, 1..4_u32);
    let replaced = (any::<usize>(), bytes.clone(), 1..5_u32);
    prop_oneof![
        1 => key.clone().prop_map(Step::Lane),
        12 => (key.clone(), bytes.clone(), any::<bool>())
            .prop_map(|(key, bytes, may_wait)| Step::Submit { key, bytes, may_wait }),
        2 => (any::<usize>(), bytes).prop_map(|(lane, bytes)| Step::SubmitRemembered { lane, bytes }),
        4 => (any::<usize>(), 0..40_usize, 0..4_u32)
            .prop_map(|(lane, count, bytes)| Step::SubmitMany { lane, count, bytes }),
        4 => any::<usize>().prop_map(Step::Poll),
        2 => any::<usize>().prop_map(Step::LeaveTicket),
        3 => key.clone().prop_map(Step::WaitForPermit),
        3 => (any::<usize>(), 1..4_u32).prop_map(|(at, bytes)| Step::Fill { at, bytes }),
        1 => any::<usize>().prop_map(Step::LeavePermit),
        8 => (0..WORKERS).prop_map(Step::Take),
        6 => (0..WORKERS).prop_map(Step::Finish),
        6 => (0..WORKERS, prop_oneof![Just(0_u64), Just(10), Just(1_000), Just(100_000)])
            .prop_map(|(worker, service)| Step::EndRun { worker, service }),
        2 => any::<usize>().prop_map(Step::Cancel),
        2 => any::<usize>().prop_map(Step::Retire),
        2 => any::<usize>().prop_map(Step::Evict),
        4 => replaced.prop_map(|(lane, bytes, modulus)| Step::Replace { lane, bytes, modulus }),
        1 => Just(Step::Clear),
        2 => bounds().prop_map(Step::SetLimits),
        1 => (key, 1..4_u32).prop_map(|(key, weight)| Step::SetWeight(key, weight)),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    (vec(step(), 0..120), prop_oneof![3 => Just(None), 1 => (0..120_usize).prop_map(Some)])
        .prop_map(|(mut steps, close)| {
            if let Some(at) = close {
                steps.insert(at.min(steps.len()), Step::Close);
            }
            steps
        })
}

#[derive(Debug)]
struct Ticket {
    number: usize,
    item: u32,
    lane: Arc<Lane<u32>>,
    /// The waker that it was last polled with.
    waker: Option<Arc<Counted>>,
}

/// A permit, or the wait for one.
#[derive(Debug)]
struct Permit {
    number: usize,
    lane: Arc<Lane<u32>>,
}

/// What one worker is at.
#[derive(Debug)]
struct Desk {
    worker: Worker<u32, u32>,
    serves: bool,
    /// Something has finished since those who wait were last let in.
    unsettled: bool,
}

/// The queue, and what it should hold.
struct Trial {
    queue: Queue,
    limits: Limits,
    desks: Vec<Desk>,
    /// The plain queue: what was admitted in each lane, or waits for that, oldest first.
    /// By the lanes' serial numbers.
    oracle: HashMap<u64, VecDeque<u32>>,
    /// Who still waits, or has not heard that it waits no longer.
    tickets: Vec<Ticket>,
    /// None of them was refused or revoked.
    permits: Vec<Permit>,
    /// Items that were refused and whose ticket has not said so.
    refused: HashSet<u32>,
    /// Lanes that were seen, those that are gone included.
    seen: Vec<Arc<Lane<u32>>>,
    /// Those that were cancelled or retired.
    departed: HashSet<u64>,
    /// How many of them somebody was told that they are left.
    told: usize,
    next_item: u32,
    admitted: u64,
    /// How many of them by permits of their own.
    permitted: u64,
    /// How many came out: handled, evicted, replaced, cancelled or cleared.
    left: u64,
    entered: HashMap<u32, (Arc<Lane<u32>>, u64)>,
    closed: bool,
}

fn in_flight(lane: &Lane<u32>) -> u64 {
    lane.entrance.gate.entered() - lane.finished()
}

impl Trial {
    fn new(bounds: Bounds, lane_workers: usize) -> Self {
        let limits = Limits { lanes: 3, lane_waiters: 3, lane_workers, workers: WORKERS, ..WIDE };
        let limits = with(limits, bounds);
        let queue = Queue::new(&limits);
        let desks = (0..WORKERS)
            .map(|index| Desk { worker: queue.worker(index), serves: false, unsettled: false })
            .collect();
        Self {
            queue,
            limits,
            desks,
            oracle: HashMap::new(),
            tickets: Vec::new(),
            permits: Vec::new(),
            refused: HashSet::new(),
            seen: Vec::new(),
            departed: HashSet::new(),
            told: 0,
            next_item: 0,
            admitted: 0,
            permitted: 0,
            left: 0,
            entered: HashMap::new(),
            closed: false,
        }
    }

    fn is_full(&self) -> bool {
        self.queue.in_flight() >= self.limits.items
            || self.queue.bytes.used() >= self.limits.bytes.unwrap_or(u64::MAX)
    }

    fn is_lane_full(&self, lane: &Lane<u32>) -> bool {
        in_flight(lane) >= self.limits.lane_items as u64
            || lane.entrance.bytes.used() >= self.limits.lane_bytes.unwrap_or(u64::MAX)
    }

    fn lane(&mut self, key: u32) -> Option<Arc<Lane<u32>>> {
        let found = self.queue.with_lane(&key, |lane| lane.cloned());
        let Some(lane) = self.queue.lane(&key) else {
            let schedule = self.queue.schedule.lock();
            assert_eq!(schedule.lanes(), self.limits.lanes, "as many as there may be");
            for lane in schedule.all_lanes() {
                let in_use = in_flight(lane) > 0
                    || lane.entrance.waiting.load(Ordering::SeqCst) > 0
                    || !schedule.is_idle(lane.index);
                assert!(in_use, "lane {} is unused", lane.index);
            }
            return None;
        };
        assert!(!lane.is_closed() && *lane.key() == key);
        assert!(found.is_none_or(|found| Arc::ptr_eq(&found, &lane)), "it had a lane");
        if !self.seen.iter().any(|seen| Arc::ptr_eq(seen, &lane)) {
            self.seen.push(Arc::clone(&lane));
        }
        Some(lane)
    }

    fn submit(&mut self, lane: &Arc<Lane<u32>>, bytes: u32, may_wait: bool, wake: &mut WakeList) {
        let item = self.next_item;
        self.next_item += 1;
        let mut place = Some(item);
        match self.queue.submit(lane, &mut place, bytes, wake) {
            Ok(()) => {
                assert!(!lane.is_closed() && !self.closed);
                self.oracle.entry(lane.serial()).or_default().push_back(item);
            }
            Err(denied) => {
                assert_eq!(place, Some(item));
                self.judge(lane, denied);
                if denied == Denied::Full && may_wait {
                    self.wait(lane, item, bytes, wake);
                }
            }
        }
    }

    fn submit_many(
        &mut self,
        lane: &Arc<Lane<u32>>,
        count: usize,
        bytes: u32,
        wake: &mut WakeList,
    ) {
        let first = self.next_item;
        self.next_item += count as u32;
        let bytes = |item: u32| if bytes == 0 { item % 3 + 1 } else { bytes };
        let mut items: VecDeque<_> =
            (first..self.next_item).map(|item| (item, bytes(item))).collect();
        let submitted = self.queue.submit_many(lane, &mut items, wake);
        let admitted = count - items.len();
        let next = first + admitted as u32;
        assert!(items.into_iter().eq((next..self.next_item).map(|item| (item, bytes(item)))));
        assert!(admitted == 0 || !lane.is_closed() && !self.closed);
        self.oracle.entry(lane.serial()).or_default().extend(first..next);
        match submitted {
            Ok(submitted) => {
                assert!(submitted == admitted && (submitted > 0 || count == 0));
                // As many as there is capacity for.
                if submitted < count {
                    self.judge(lane, Denied::Full);
                }
            }
            Err(denied) => {
                assert_eq!(admitted, 0);
                self.judge(lane, denied);
            }
        }
    }

    fn judge(&self, lane: &Arc<Lane<u32>>, denied: Denied) {
        match denied {
            Denied::Full => {
                let others = self.queue.waiting() > 0;
                assert!(others || self.is_full() || self.is_lane_full(lane), "there is capacity");
            }
            Denied::TooManyWaiters => {
                assert!(self.queue.waiters.lock().in_line(lane) >= self.limits.lane_waiters);
            }
            Denied::LaneClosed => assert!(lane.is_closed()),
            Denied::Closed => assert!(self.closed),
        }
    }

    fn wait(&mut self, lane: &Arc<Lane<u32>>, item: u32, bytes: u32, wake: &mut WakeList) {
        match self.queue.wait(lane, item, bytes, wake) {
            Ok(number) => {
                self.oracle.entry(lane.serial()).or_default().push_back(item);
                let lane = Arc::clone(lane);
                self.tickets.push(Ticket { number, item, lane, waker: None });
            }
            Err((back, denied)) => {
                assert_eq!(back, item);
                assert_ne!(denied, Denied::Full);
                self.judge(lane, denied);
            }
        }
    }

    fn wait_for_permit(&mut self, lane: &Arc<Lane<u32>>, wake: &mut WakeList) {
        match self.queue.wait_for_permit(lane, wake) {
            Ok((number, is_held)) => {
                let permit = Permit { number, lane: Arc::clone(lane) };
                assert!(!is_held || self.is_granted(&permit));
                self.permits.push(permit);
            }
            Err(denied) => self.judge(lane, denied),
        }
    }

    fn is_granted(&self, permit: &Permit) -> bool {
        match self.queue.poll_ticket(permit.number, Waker::noop()) {
            Waited::Pending => false,
            Waited::Admitted => true,
            Waited::Refused(..) => unreachable!("nobody has refused it"),
        }
    }

    /// How many permits of a lane are granted, and how many are waited for.
    fn permits_of(&self, lane: &Arc<Lane<u32>>) -> (usize, usize) {
        let of_lane = self.permits.iter().filter(|permit| Arc::ptr_eq(&permit.lane, lane));
        let (granted, waited): (Vec<_>, Vec<_>) = of_lane.partition(|own| self.is_granted(own));
        (granted.len(), waited.len())
    }

    fn fill(&mut self, at: usize, bytes: u32, wake: &mut WakeList) {
        if !self.is_granted(&self.permits[at]) {
            return;
        }
        let Permit { number, lane } = self.permits.swap_remove(at);
        let item = self.next_item;
        self.next_item += 1;
        assert_eq!(self.queue.fill(number, item, bytes, wake), Ok(()));
        // Behind all that was admitted, before those who wait.
        let for_permits = self.permits_of(&lane).1;
        let waiting = self.queue.waiters.lock().in_line(&lane) - for_permits;
        let line = self.oracle.entry(lane.serial()).or_default();
        line.insert(line.len() - waiting, item);
    }

    fn leave_permit(&mut self, at: usize, wake: &mut WakeList) {
        let is_granted = self.is_granted(&self.permits[at]);
        let Permit { number, lane } = self.permits.swap_remove(at);
        match self.queue.leave_ticket(number, wake) {
            Left::Permit(own) => {
                assert!(is_granted && Arc::ptr_eq(&own, &lane));
                self.give_back(&lane, wake);
            }
            Left::Wait(None, _) => assert!(!is_granted),
            left => panic!("{left:?}"),
        }
    }

    fn give_back(&mut self, lane: &Arc<Lane<u32>>, wake: &mut WakeList) {
        self.left += 1;
        self.queue.finish_discarded(lane, 0, wake);
        self.hear(std::mem::take(&mut wake.left));
    }

    /// The permits for which this holds are revoked, and waits for others refused.
    fn forget_permits(&mut self, why: Refusal, is_over: impl Fn(&Permit) -> bool) {
        for permit in self.permits.extract_if(.., |permit| is_over(permit)) {
            let waited = self.queue.poll_ticket(permit.number, Waker::noop());
            assert!(matches!(waited, Waited::Refused(None, own) if own == why), "{waited:?}");
        }
    }

    /// An item has come out of the queue, in whichever way: it is the lane's oldest.
    fn came_out(&mut self, lane: &Lane<u32>, item: u32) {
        let oldest = self.oracle.get_mut(&lane.serial()).and_then(VecDeque::pop_front);
        assert_eq!(oldest, Some(item));
        self.left += 1;
    }

    /// How often somebody was notified that a lane is left.
    fn hear(&mut self, left: bool) {
        self.told += usize::from(left);
    }

    fn discard(&mut self, lane: &Arc<Lane<u32>>, item: u32, charge: u32, wake: &mut WakeList) {
        self.came_out(lane, item);
        self.queue.finish_discarded(lane, charge, wake);
        // One by one: a list tells of one.
        self.hear(std::mem::take(&mut wake.left));
    }

    fn replace(&mut self, lane: &Arc<Lane<u32>>, bytes: u32, modulus: u32, wake: &mut WakeList) {
        let item = self.next_item;
        self.next_item += 1;
        // Those who wait stand behind all that was admitted, and who waits for a permit has no item.
        let for_permits = self.permits_of(lane).1;
        let waits = self.queue.waiters.lock().in_line(lane) - for_permits;
        let oracle = self.oracle.entry(lane.serial()).or_default();
        let queued = oracle.len() - waits;
        let is = |older: &u32| item % modulus == older % modulus;
        let expected: Vec<u32> =
            oracle.iter().take(queued).take(MAX_COMPARED).copied().filter(is).collect();
        let mut place = Some(item);
        let supersedes = |_: &u32, older: &u32| is(older);
        let replaced =
            self.queue.replace(lane, &mut place, bytes, supersedes, || (), |own| wake.append(own));
        let Some(Replaced { first, others }) = replaced else {
            assert_eq!(place, Some(item));
            let has_bytes = self.limits.bytes.is_none() && self.limits.lane_bytes.is_none();
            let may_be = expected.is_empty() || lane.is_closed() || self.closed || !has_bytes;
            assert!(may_be, "there are some to be replaced");
            return;
        };
        assert!(place.is_none() && !lane.is_closed() && !self.closed);
        let others: Vec<_> = others.into_iter().rev().collect();
        assert!([first].into_iter().chain(others.iter().map(|(other, _)| *other)).eq(expected));
        let own = |older: &mut u32| {
            if *older == first {
                *older = item;
            }
            !others.iter().any(|(other, _)| other == older)
        };
        self.oracle.get_mut(&lane.serial()).expect("it was used above").retain_mut(own);
        self.left += 1 + others.len() as u64;
        for (_, charge) in others {
            self.queue.finish_discarded(lane, charge, wake);
            self.hear(std::mem::take(&mut wake.left));
        }
    }

    fn take(&mut self, index: usize) {
        let desk = &mut self.desks[index];
        if desk.serves {
            return;
        }
        let found = self.queue.take(&mut desk.worker);
        let left = desk.worker.take_left();
        desk.serves = matches!(found, Take::Run { .. });
        self.hear(left);
        let desk = &mut self.desks[index];
        match found {
            Take::Run { .. } => {}
            Take::Empty => {
                assert!(!self.queue.is_ready());
                return;
            }
            Take::Busy => unreachable!("nobody else has the schedule"),
        }
        let lane = Arc::clone(desk.worker.lane());
        let items: Vec<_> = desk.worker.run.iter().map(|charged| charged.item).collect();
        assert!((1..=RUN).contains(&items.len()));
        items.into_iter().for_each(|item| self.came_out(&lane, item));
        let of_lane = |desk: &&Desk| desk.serves && Arc::ptr_eq(desk.worker.lane(), &lane);
        let workers = self.desks.iter().filter(of_lane).count();
        assert!(workers <= self.limits.lane_workers, "{workers} serve one lane");
        assert!(!lane.wait_until_left(Duration::ZERO));
    }

    fn finish(&mut self, index: usize) -> bool {
        let desk = &mut self.desks[index];
        let Some((_, charge)) = desk.worker.pop() else { return false };
        self.queue.finish(&desk.worker, charge);
        desk.unsettled = true;
        true
    }

    fn end_run(&mut self, index: usize, service: u64, wake: &mut WakeList) {
        if !self.desks[index].serves {
            return;
        }
        while self.finish(index) {}
        let desk = &mut self.desks[index];
        self.queue.end_run(&mut desk.worker, service);
        (desk.serves, desk.unsettled) = (false, false);
        if self.queue.has_waiters() {
            let lane = Arc::clone(desk.worker.lane());
            self.queue.grant(Some(&lane), wake);
        }
    }

    fn cancel(&mut self, lane: &Arc<Lane<u32>>, wake: &mut WakeList) {
        let waited = self.queue.waiters.lock().in_line(lane);
        let (granted, for_permits) = self.permits_of(lane);
        let (items, barred) = self.queue.cancel_lane(lane, wake);
        self.hear(std::mem::take(&mut wake.left));
        assert_eq!(barred, Departed { refused: waited, revoked: granted });
        for (item, charge) in items {
            self.discard(lane, item, charge, wake);
        }
        (0..granted).for_each(|_| self.give_back(lane, wake));
        self.refuse_line(lane, waited - for_permits);
        assert!(self.oracle[&lane.serial()].is_empty(), "all that was queued came back");
    }

    fn retire(&mut self, lane: &Arc<Lane<u32>>, wake: &mut WakeList) {
        let waited = self.queue.waiters.lock().in_line(lane);
        let (granted, for_permits) = self.permits_of(lane);
        let barred = self.queue.retire_lane(lane, wake);
        assert_eq!(barred, Departed { refused: waited, revoked: granted });
        (0..granted).for_each(|_| self.give_back(lane, wake));
        self.refuse_line(lane, waited - for_permits);
    }

    /// So many waited with an item in the line of a lane that departs, and are refused.
    fn refuse_line(&mut self, lane: &Arc<Lane<u32>>, refused: usize) {
        self.forget_permits(Refusal::Cancelled, |permit| Arc::ptr_eq(&permit.lane, lane));
        self.departed.insert(lane.serial());
        assert!(
            self.queue.with_lane(lane.key(), |own| own.is_none_or(|own| !Arc::ptr_eq(own, lane)))
        );
        // They stand behind all that was admitted.
        let oracle = self.oracle.entry(lane.serial()).or_default();
        let admitted = oracle.len().checked_sub(refused).expect("they stand in it");
        self.refused.extend(oracle.split_off(admitted));
    }

    fn poll(&mut self, at: usize) {
        let woken = self.tickets[at].waker.take().map(|waker| waker.count());
        let waker = Arc::new(Counted::default());
        let ticket = &mut self.tickets[at];
        let waited = self.queue.poll_ticket(ticket.number, &Arc::clone(&waker).into());
        let is_pending = matches!(waited, Waited::Pending);
        assert!(woken.is_none_or(|woken| woken == usize::from(!is_pending)), "woken {woken:?}");
        match waited {
            Waited::Pending => ticket.waker = Some(waker),
            Waited::Admitted => {
                let Ticket { item, .. } = self.tickets.swap_remove(at);
                assert!(!self.refused.contains(&item));
            }
            Waited::Refused(item, why) => {
                let ticket = self.tickets.swap_remove(at);
                assert_eq!(item, Some(ticket.item));
                assert!(self.refused.remove(&ticket.item));
                assert!(why == Refusal::Cancelled || self.closed);
            }
        }
    }

    fn leave_ticket(&mut self, at: usize, wake: &mut WakeList) {
        let ticket = self.tickets.swap_remove(at);
        match self.queue.leave_ticket(ticket.number, wake) {
            Left::Nothing(None) => assert!(!self.refused.contains(&ticket.item)),
            Left::Wait(Some(item), _) => {
                assert_eq!(item, ticket.item);
                let line = self.oracle.get_mut(&ticket.lane.serial()).expect("it waited there");
                let at = line.iter().position(|&other| other == item).expect("it waited there");
                line.remove(at);
            }
            Left::Nothing(Some(item)) => {
                assert!(item == ticket.item && self.refused.remove(&item));
            }
            left => panic!("{left:?}"),
        }
    }

    fn close(&mut self, wake: &mut WakeList) {
        // Those who wait stand behind all that was admitted.
        for lane in &self.seen {
            let for_permits = self.permits_of(lane).1;
            for _ in for_permits..self.queue.waiters.lock().in_line(lane) {
                let line = self.oracle.get_mut(&lane.serial()).expect("somebody waits in it");
                self.refused.insert(line.pop_back().expect("somebody waits in it"));
            }
        }
        let waited = self.queue.waiting();
        let granted = self.permits.iter().filter(|permit| self.is_granted(permit)).count();
        let (refused, revoked) = self.queue.close(wake);
        assert_eq!((refused, revoked.len()), (waited, granted));
        self.closed = true;
        revoked.iter().for_each(|lane| self.give_back(lane, wake));
        self.forget_permits(Refusal::Closed, |_| true);
    }

    fn step(&mut self, step: &Step) {
        let mut wake = WakeList::default();
        match *step {
            Step::Lane(key) => drop(self.lane(key)),
            Step::Submit { key, bytes, may_wait } => {
                if let Some(lane) = self.lane(key) {
                    self.submit(&lane, bytes, may_wait, &mut wake);
                }
            }
            Step::SubmitRemembered { lane, bytes } => {
                if let Some(lane) = self.remembered(lane) {
                    self.submit(&lane, bytes, true, &mut wake);
                }
            }
            Step::SubmitMany { lane, count, bytes } => {
                if let Some(lane) = self.remembered(lane) {
                    self.submit_many(&lane, count, bytes, &mut wake);
                }
            }
            Step::Poll(at) if !self.tickets.is_empty() => self.poll(at % self.tickets.len()),
            Step::LeaveTicket(at) if !self.tickets.is_empty() => {
                self.leave_ticket(at % self.tickets.len(), &mut wake);
            }
            Step::WaitForPermit(key) => {
                if let Some(lane) = self.lane(key) {
                    self.wait_for_permit(&lane, &mut wake);
                }
            }
            Step::Fill { at, bytes } if !self.permits.is_empty() => {
                self.fill(at % self.permits.len(), bytes, &mut wake);
            }
            Step::LeavePermit(at) if !self.permits.is_empty() => {
                self.leave_permit(at % self.permits.len(), &mut wake);
            }
            Step::Poll(_) | Step::LeaveTicket(_) | Step::Fill { .. } | Step::LeavePermit(_) => {}
            Step::Take(worker) => self.take(worker),
            Step::Finish(worker) => drop(self.finish(worker)),
            Step::EndRun { worker, service } => self.end_run(worker, service, &mut wake),
            Step::Cancel(lane) => {
                if let Some(lane) = self.remembered(lane) {
                    self.cancel(&lane, &mut wake);
                }
            }
            Step::Retire(lane) => {
                if let Some(lane) = self.remembered(lane) {
                    self.retire(&lane, &mut wake);
                }
            }
            Step::Evict(lane) => {
                if let Some(lane) = self.remembered(lane)
                    && let Some((item, charge)) = self.queue.evict(&lane, &mut wake)
                {
                    self.discard(&lane, item, charge, &mut wake);
                }
            }
            Step::Replace { lane, bytes, modulus } => {
                if let Some(lane) = self.remembered(lane) {
                    self.replace(&lane, bytes, modulus, &mut wake);
                }
            }
            Step::Clear => {
                for (lane, item, charge) in self.queue.clear(&mut wake) {
                    self.discard(&lane, item, charge, &mut wake);
                }
            }
            Step::SetLimits(bounds) => {
                self.limits = with(self.limits, bounds);
                self.queue.set_limits(&self.limits);
                self.queue.grant_all(&mut wake);
                self.desks.iter_mut().for_each(|desk| desk.unsettled = false);
            }
            Step::SetWeight(key, weight) => drop(self.queue.set_weight(&key, weight)),
            Step::Close if self.closed => {}
            Step::Close => self.close(&mut wake),
        }
        wake.wake_submitters();
        self.hear(wake.left);
        self.check();
    }

    fn remembered(&self, at: usize) -> Option<Arc<Lane<u32>>> {
        // Those that came last: others are gone for sure.
        let seen = &self.seen[self.seen.len().saturating_sub(6)..];
        (!seen.is_empty()).then(|| Arc::clone(&seen[at % seen.len()]))
    }

    /// What holds after each step.
    fn check(&mut self) {
        let admitted = self.queue.admitted();
        assert!(admitted >= self.admitted, "the count that is shown has fallen");
        // Who replaces another needs no more permits than that has.
        let permitted = self.queue.gate.entered();
        if permitted > self.permitted {
            assert!(self.queue.in_flight() <= self.limits.items, "the queue's bound");
            let most = self.limits.bytes.unwrap_or(u64::MAX);
            assert!(self.queue.bytes.used() < most.saturating_add(3), "the queue's bytes");
        }
        (self.admitted, self.permitted) = (admitted, permitted);
        let schedule = self.queue.schedule.lock();
        schedule.assert_whole();
        assert!(schedule.lanes() <= self.limits.lanes);
        for lane in schedule.all_lanes() {
            let entered = lane.entrance.gate.entered();
            let before = self.entered.get(&lane.index).filter(|(own, _)| Arc::ptr_eq(own, lane));
            if entered > before.map_or(0, |&(_, entered)| entered) {
                assert!(in_flight(lane) <= self.limits.lane_items as u64, "a lane's bound");
                let most = self.limits.lane_bytes.unwrap_or(u64::MAX);
                assert!(lane.entrance.bytes.used() < most.saturating_add(3), "a lane's bytes");
            }
            self.entered.insert(lane.index, (Arc::clone(lane), entered));
        }
        let waiters = self.queue.waiters.lock();
        let mut waiting = 0;
        let settled = self.desks.iter().all(|desk| !desk.unsettled);
        for lane in &self.seen {
            let in_line = waiters.in_line(lane);
            assert_eq!(lane.entrance.waiting.load(Ordering::SeqCst), in_line);
            assert!(in_line <= self.limits.lane_waiters);
            assert!(in_line == 0 || !lane.is_closed(), "nobody waits for a lane that is closed");
            let may_wait = in_line == 0 || !settled || self.is_full() || self.is_lane_full(lane);
            assert!(may_wait, "capacity and somebody who waits for it rest together");
            waiting += in_line;
        }
        assert_eq!(self.queue.waiting(), waiting);
        let is_served = |lane: &Arc<Lane<u32>>| {
            let of_worker =
                |desk: &Desk| desk.worker.lane.as_ref().is_some_and(|own| Arc::ptr_eq(own, lane));
            self.desks.iter().any(of_worker)
        };
        for lane in self.seen.iter().filter(|lane| self.departed.contains(&lane.serial())) {
            let is_left = in_flight(lane) == 0 && !is_served(lane);
            assert_eq!(lane.is_left(), is_left, "left when nothing of it is left");
        }
        let left = self.seen.iter().filter(|lane| lane.is_left()).count();
        assert_eq!(self.told, left, "one notice of each");
        let blocked = self.queue.signals.blocked.load(Ordering::SeqCst);
        assert!(waiting > 0 || !blocked, "nobody waits, and all are barred");
        // What the plain queue holds has been admitted, or waits.
        let queued: usize = self.oracle.values().map(VecDeque::len).sum();
        let held = queued + self.permits.len();
        assert_eq!(held as u64 + self.left, admitted + waiting as u64, "lost, or there twice");
    }

    /// Everything comes to rest.
    fn rest(mut self) {
        let mut wake = WakeList::default();
        for worker in 0..WORKERS {
            self.end_run(worker, 1, &mut wake);
        }
        while !self.permits.is_empty() {
            self.leave_permit(0, &mut wake);
        }
        // No capacity will come for some of those who wait.
        while !self.tickets.is_empty() {
            wake.wake_submitters();
            self.poll(0);
            if let Some(last) = self.tickets.pop() {
                self.tickets.insert(0, last);
                self.leave_ticket(0, &mut wake);
            }
        }
        loop {
            (0..WORKERS).for_each(|worker| self.take(worker));
            if !self.desks.iter().any(|desk| desk.serves) {
                break;
            }
            (0..WORKERS).for_each(|worker| self.end_run(worker, 1, &mut wake));
        }
        self.check();
        let queue = &self.queue;
        assert!(self.oracle.values().all(VecDeque::is_empty) && self.refused.is_empty());
        assert_eq!((queue.in_flight(), queue.waiting(), queue.bytes_in_flight()), (0, 0, 0));
        assert_eq!((queue.finished(), self.left), (queue.gate.entered(), queue.admitted()));
        assert!(!queue.is_ready() && !queue.signals.blocked.load(Ordering::SeqCst));
        assert_eq!(queue.is_over(), self.closed);
        for lane in &self.seen {
            assert_eq!((in_flight(lane), lane.entrance.bytes.used()), (0, 0));
            assert!(lane.wait_until_left(Duration::ZERO));
        }
        // Each place is used again.
        for key in 100..200 {
            assert!(queue.lane(&key).is_some());
        }
        assert!(queue.schedule.lock().lanes() <= self.limits.lanes);
        for lane in self
            .seen
            .iter()
            .cloned()
            .chain((100..200).filter_map(|key| queue.with_lane(&key, |lane| lane.cloned())))
        {
            wake.left = false;
            let is_left = lane.is_left();
            let _ = queue.cancel_lane(&lane, &mut wake);
            assert!(lane.is_left() && wake.left != is_left);
        }
        assert_eq!(queue.schedule.lock().lanes(), 0, "a lane is left");
        queue.schedule.lock().assert_whole();
    }
}

fn with(limits: Limits, (items, lane_items, bytes, lane_bytes, quantum): Bounds) -> Limits {
    Limits { items, lane_items, bytes, lane_bytes, quantum, ..limits }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_queue_does_what_a_plain_one_does(
        bounds in bounds(),
        lane_workers in 1..3_usize,
        steps in steps(),
    ) {
        let mut trial = Trial::new(bounds, lane_workers);
        steps.iter().for_each(|step| trial.step(step));
        trial.rest();
    }
}
