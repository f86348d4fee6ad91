use std::{
    cell::Cell,
    collections::{HashSet, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        OnceLock,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};

use rayon::prelude::*;

use super::*;
use crate::sync::{AtomicBool, AtomicU64, AtomicUsize, Condvar, Mutex, Ordering};

/// How long a test waits for what must happen before it fails.
const LIMIT: Duration = Duration::from_secs(60);

/// How often the helper helps, as the handler's watch does.
const WATCH: Duration = Duration::from_millis(2);

/// What a worker runs.
type Piece = Box<dyn FnOnce(&Arc<Pieces>) + Send>;

/// Pieces of work in a queue.
struct Pieces {
    queue: Mutex<VecDeque<Piece>>,
    over: AtomicBool,
    longest: AtomicU64,
    forks: bool,
    workers: Workers,
    /// For pieces that use the source.
    own: OnceLock<std::sync::Weak<Self>>,
    /// Panics of what was spawned on the pool.
    strays: Arc<AtomicUsize>,
    /// Workers whose loop has panicked.
    broken: AtomicUsize,
}

thread_local! {
    /// What a worker of these tests is doing: a piece, or a part that one has forked.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// Counts what runs on this thread, one on top of the other.
struct Running;

impl Running {
    fn begin() -> Self {
        DEPTH.set(DEPTH.get() + 1);
        Self
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
    }
}

impl Source for Pieces {
    type Worker = (usize, Option<Piece>);

    fn worker(&self, index: usize) -> Self::Worker {
        (index, None)
    }

    fn take(&self, worker: &mut Self::Worker) -> Found {
        let Some(mut queue) = self.queue.try_lock() else { return Found::Busy };
        worker.1 = queue.pop_front();
        match worker.1 {
            Some(_) => Found::Work { more: !queue.is_empty() },
            None => Found::Nothing,
        }
    }

    fn run(&self, worker: &mut Self::Worker, _: Option<Moment>) -> Moment {
        let piece = worker.1.take().expect("it was taken");
        assert_eq!(rayon::current_thread_index(), Some(worker.0), "a loop runs on its own thread");
        let own = self.own.get().and_then(std::sync::Weak::upgrade).expect("it is started");
        {
            let _running = Running::begin();
            piece(&own);
        }
        Moment::now()
    }

    fn is_ready(&self) -> bool {
        self.queue.try_lock().is_none_or(|queue| !queue.is_empty())
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    fn manner(&self) -> Manner {
        Manner { longest: self.longest.load(Ordering::Relaxed), forks: self.forks }
    }

    fn worker_broke(&self, _: Box<dyn std::any::Any + Send>) {
        self.broken.fetch_add(1, Ordering::SeqCst);
    }
}

impl Pieces {
    /// A source whose threads have yet to start.
    fn idle(threads: usize, manner: Manner) -> Arc<Self> {
        let strays = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&strays);
        let spec = Spec { name: &|_| "workers_of_a_test".to_owned(), threads, first_core: None };
        let workers = Workers::new(&spec, move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
        })
        .expect("threads can be had");
        let source = Arc::new(Self {
            queue: Mutex::default(),
            over: AtomicBool::new(false),
            longest: AtomicU64::new(manner.longest),
            forks: manner.forks,
            workers,
            own: OnceLock::new(),
            strays,
            broken: AtomicUsize::new(0),
        });
        source.own.set(Arc::downgrade(&source)).expect("it is set once");
        source
    }

    fn begin(self: &Arc<Self>) {
        self.workers.start(self, |source| &source.workers);
    }

    fn started(threads: usize, manner: Manner) -> Arc<Self> {
        let source = Self::idle(threads, manner);
        source.begin();
        source
    }

    fn push(&self, piece: impl FnOnce(&Arc<Self>) + Send + 'static) {
        self.queue.lock().push_back(Box::new(piece));
        self.workers.notify();
    }

    /// There is no more work.
    fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
        self.workers.wake_all();
    }

    /// Ends the threads and waits for that.
    fn finish(&self) {
        self.end();
        self.join();
    }

    fn join(&self) {
        self.workers.release();
        assert!(self.workers.join(Instant::now() + LIMIT), "the threads do not end");
        assert_eq!(self.workers.alive(), 0);
    }

    /// Waits until all workers sleep and have no work.
    fn wait_for_sleep(&self) {
        let all = self.workers.parkers.len();
        wait_until("all workers sleep", || self.workers.sleep.asleep() == all);
    }
}

#[track_caller]
fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !is_so() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        thread::yield_now();
    }
}

#[track_caller]
fn receive<T>(receiver: &Receiver<T>, what: &str) -> T {
    receiver.recv_timeout(LIMIT).unwrap_or_else(|_| panic!("in vain: {what}"))
}

fn manners() -> impl Iterator<Item = Manner> {
    [0, 200_000, u64::MAX]
        .into_iter()
        .flat_map(|longest| [false, true].map(|forks| Manner { longest, forks }))
}

/// Calls [`Workers::help`] again and again, as the watch of the flows does.
struct Watch {
    over: Sender<()>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Watch {
    fn of(source: &Arc<Pieces>) -> Self {
        let source = Arc::clone(source);
        let (over, ends) = channel();
        let thread = thread::spawn(move || {
            while ends
                .recv_timeout(WATCH)
                .is_err_and(|error| error == std::sync::mpsc::RecvTimeoutError::Timeout)
            {
                source.workers.help();
            }
        });
        Self { over, thread: Some(thread) }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.over.send(());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Two threads meet here.
#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn open(&self) {
        *self.open.lock() = true;
        self.opened.notify_all();
    }

    #[track_caller]
    fn pass(&self) {
        let deadline = Instant::now() + LIMIT;
        let mut open = self.open.lock();
        while !*open {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "the gate was not opened");
            open = self.opened.wait_timeout(open, left).expect("nobody panics under it").0;
        }
    }
}

// ---- found, and not lost ----

#[test]
fn who_searches_and_who_sleeps_is_counted_and_the_others_are_busy() {
    let sleep = Sleep::all_searching(3);
    assert!(!sleep.has_sleepers() && !sleep.are_busy(3));
    assert!(sleep.fall_asleep(2, || false));
    assert!(sleep.has_sleepers() && !sleep.are_busy(3));
    assert_eq!((sleep.found(|| false), sleep.are_busy(3)), (None, true));
    // As in a simulation.
    let sleep = Sleep::all_sleeping(3);
    assert_eq!((sleep.asleep(), sleep.are_busy(3)), (3, false));
    let mut woken = Vec::new();
    sleep.wake_all(|worker| woken.push(worker));
    woken.sort_unstable();
    assert_eq!((woken, sleep.has_sleepers(), sleep.are_busy(3)), (vec![0, 1, 2], false, false));
}

#[test]
fn a_worker_finds_work_in_every_manner() {
    for manner in manners() {
        for threads in [1, 3] {
            let source = Pieces::started(threads, manner);
            let (sender, receiver) = channel();
            for round in 0..100 {
                let sender = sender.clone();
                source.push(move |_| sender.send(round).unwrap());
                assert_eq!(receive(&receiver, &format!("work under {manner:?}")), round);
            }
            source.finish();
        }
    }
}

#[test]
fn a_sleeping_worker_is_woken_for_work() {
    for forks in [false, true] {
        for longest in [0, 200_000] {
            let source = Pieces::started(3, Manner { longest, forks });
            let (sender, receiver) = channel();
            for round in 0..50 {
                source.wait_for_sleep();
                let sender = sender.clone();
                source.push(move |_| sender.send(round).unwrap());
                assert_eq!(receive(&receiver, "work for a sleeper"), round);
            }
            source.finish();
        }
    }
}

#[test]
fn no_wake_up_is_lost_in_many_rounds_of_one_piece() {
    for (threads, longest) in [(1, 0), (2, 0), (3, 20_000)] {
        let source = Pieces::started(threads, Manner { longest, forks: false });
        let (sender, receiver) = channel();
        for round in 0..10_000 {
            let sender = sender.clone();
            source.push(move |_| sender.send(round).unwrap());
            assert_eq!(receive(&receiver, "the only piece"), round);
        }
        source.finish();
    }
}

#[test]
fn no_wake_up_is_lost_among_many_that_submit() {
    const PIECES: usize = 2_000;
    for manner in manners() {
        let source = Pieces::started(2, manner);
        let (sender, receiver) = channel();
        let submitters: Vec<_> = (0..3)
            .map(|_| {
                let (source, sender) = (Arc::clone(&source), sender.clone());
                thread::spawn(move || {
                    for _ in 0..PIECES {
                        let sender = sender.clone();
                        source.push(move |_| sender.send(()).unwrap());
                    }
                })
            })
            .collect();
        for _ in 0..3 * PIECES {
            receive(&receiver, &format!("a piece under {manner:?}"));
        }
        submitters.into_iter().for_each(|submitter| submitter.join().unwrap());
        source.finish();
    }
}

#[test]
fn work_and_a_free_worker_do_not_rest_beside_a_long_piece() {
    for manner in manners() {
        let source = Pieces::started(3, manner);
        // Each piece ends only when all three run at once.
        let barrier = Arc::new(std::sync::Barrier::new(3));
        let (sender, receiver) = channel();
        for _ in 0..50 {
            for _ in 0..3 {
                let (barrier, sender) = (Arc::clone(&barrier), sender.clone());
                source.push(move |_| {
                    barrier.wait();
                    sender.send(()).unwrap();
                });
            }
            for _ in 0..3 {
                receive(&receiver, &format!("three at once under {manner:?}"));
            }
        }
        source.finish();
    }
}

#[test]
fn many_that_come_at_once_are_run_by_all_that_sleep() {
    for forks in [false, true] {
        let source = Pieces::started(3, Manner { longest: 0, forks });
        let barrier = Arc::new(std::sync::Barrier::new(3));
        let (sender, receiver) = channel();
        for _ in 0..50 {
            source.wait_for_sleep();
            // One wake-up for all three.
            let mut queue = source.queue.lock();
            for _ in 0..3 {
                let (barrier, sender) = (Arc::clone(&barrier), sender.clone());
                queue.push_back(Box::new(move |_| {
                    barrier.wait();
                    sender.send(()).unwrap();
                }));
            }
            drop(queue);
            source.workers.notify();
            (0..3).for_each(|_| receive(&receiver, "three at once after one wake-up"));
        }
        source.finish();
    }
}

#[test]
fn workers_without_work_sleep_if_they_may() {
    for forks in [false, true] {
        for longest in [0, 200_000] {
            let source = Pieces::started(3, Manner { longest, forks });
            source.wait_for_sleep();
            source.workers.wake_all();
            source.wait_for_sleep();
            source.finish();
        }
    }
}

#[test]
fn a_worker_that_searches_for_ever_sleeps_when_its_manner_changes() {
    let source = Pieces::started(2, Manner { longest: u64::MAX, forks: false });
    let (sender, receiver) = channel();
    for _ in 0..100 {
        source.longest.store(u64::MAX, Ordering::Relaxed);
        source.workers.wake_all();
        let sender = sender.clone();
        source.push(move |_| sender.send(()).unwrap());
        receive(&receiver, "a piece");
        wait_until("all workers search", || source.workers.sleep.asleep() == 0);
        // Most of the time both are at it by now.
        (0..100).for_each(|_| thread::yield_now());
        source.longest.store(0, Ordering::Relaxed);
        source.workers.wake_all();
        source.wait_for_sleep();
    }
    source.finish();
}

// ---- the end ----

#[test]
fn all_threads_end_when_the_source_is_over() {
    for manner in manners() {
        for _ in 0..20 {
            let source = Pieces::started(3, manner);
            assert_eq!(source.workers.alive(), 3);
            source.finish();
        }
        if manner.longest < u64::MAX {
            let source = Pieces::started(3, manner);
            source.wait_for_sleep();
            source.finish();
        }
    }
}

#[test]
fn all_threads_end_if_the_source_was_over_before_they_started() {
    for manner in manners() {
        let source = Pieces::idle(3, manner);
        source.end();
        source.begin();
        source.join();
    }
}

#[test]
fn all_threads_end_if_the_pool_was_released_as_they_started() {
    for manner in manners() {
        let source = Pieces::started(3, manner);
        source.workers.release();
        let (sender, receiver) = channel();
        source.push(move |_| sender.send(()).unwrap());
        receive(&receiver, "work of a released pool");
        source.finish();
    }
}

#[test]
fn threads_that_were_never_started_end_with_the_pool() {
    let source = Pieces::idle(3, Manner { longest: 0, forks: false });
    source.join();
    source.begin();
    assert_eq!(source.workers.alive(), 0, "nothing starts after the pool was released");
}

#[test]
fn all_threads_end_from_inside_of_a_piece() {
    for manner in manners() {
        let source = Pieces::started(3, manner);
        if manner.longest < u64::MAX {
            source.wait_for_sleep();
        }
        source.push(|source| {
            source.end();
            source.workers.release();
        });
        wait_until("the end of the threads", || source.workers.alive() == 0);
        source.join();
    }
}

#[test]
fn a_worker_that_finds_the_source_over_ends_the_others() {
    for manner in manners() {
        let source = Pieces::started(3, manner);
        if manner.longest < u64::MAX {
            source.wait_for_sleep();
        }
        // Nobody is woken for it.
        source.push(|source| source.over.store(true, Ordering::SeqCst));
        source.join();
    }
}

#[test]
fn a_join_that_comes_to_its_deadline_says_so() {
    let source = Pieces::started(1, Manner { longest: 0, forks: false });
    assert!(!source.workers.join(Instant::now()));
    let gate = Arc::new(Gate::default());
    let passes = Arc::clone(&gate);
    source.push(move |_| passes.pass());
    source.end();
    source.workers.release();
    assert!(!source.workers.join(Instant::now()));
    gate.open();
    source.join();
}

#[test]
fn the_source_is_let_go_when_the_threads_end() {
    let source = Pieces::started(2, Manner { longest: 0, forks: false });
    source.finish();
    let weak = Arc::downgrade(&source);
    drop(source);
    assert_eq!(weak.strong_count(), 0);
}

// ---- what is given to rayon ----

/// Has a piece run `work` in every manner, with help as from the watch.
fn in_every_manner(threads: usize, rounds: usize, work: impl Fn() + Send + Sync + 'static) {
    let work = Arc::new(work);
    for manner in manners() {
        let source = Pieces::started(threads, manner);
        let watch = Watch::of(&source);
        let (sender, receiver) = channel();
        for _ in 0..rounds {
            let (work, sender) = (Arc::clone(&work), sender.clone());
            source.push(move |_| {
                work();
                sender.send(()).unwrap();
            });
            receive(&receiver, &format!("the end of a piece that forks, under {manner:?}"));
        }
        drop(watch);
        source.finish();
    }
}

#[test]
fn a_broadcast_ends() {
    in_every_manner(3, 10, || {
        let indices = rayon::broadcast(|context| context.index());
        assert_eq!(indices, [0, 1, 2]);
    });
}

#[test]
fn a_spawned_job_that_is_waited_for_ends() {
    in_every_manner(2, 10, || {
        let (sender, receiver) = channel();
        rayon::spawn(move || sender.send(()).unwrap());
        receive(&receiver, "the spawned job");
    });
}

#[test]
fn idle_threads_help_without_a_watch_where_pieces_fork() {
    for manner in manners().filter(|manner| manner.forks) {
        let source = Pieces::started(3, manner);
        let (sender, receiver) = channel();
        for _ in 0..20 {
            if manner.longest < u64::MAX {
                source.wait_for_sleep();
            }
            let sender = sender.clone();
            source.push(move |_| {
                rayon::broadcast(|_| ());
                // Those who helped have found nothing more for a while.
                thread::sleep(Duration::from_millis(1));
                let (spawned, done) = channel();
                rayon::spawn(move || spawned.send(()).unwrap());
                receive(&done, "the spawned job");
                sender.send(()).unwrap();
            });
            receive(&receiver, &format!("the end of a piece that forks, under {manner:?}"));
        }
        source.finish();
    }
}

#[test]
fn a_join_ends() {
    fn fork(depth: u32) -> u64 {
        if depth == 0 {
            return 1;
        }
        let (left, right) = rayon::join(|| fork(depth - 1), || fork(depth - 1));
        left + right
    }
    in_every_manner(3, 20, || assert_eq!(fork(8), 256));
}

#[test]
fn nested_parallel_iterators_end() {
    in_every_manner(3, 20, || {
        let sum: u64 =
            (0..32_u64).into_par_iter().map(|i| (0..32_u64).into_par_iter().sum::<u64>() + i).sum();
        assert_eq!(sum, 32 * 496 + 496);
    });
}

#[test]
fn pieces_that_fork_under_the_same_lock_do_not_hang() {
    for manner in manners() {
        let source = Pieces::started(3, manner);
        let watch = Watch::of(&source);
        let lock = Arc::new(Mutex::new(0_u64));
        let (sender, receiver) = channel();
        for _ in 0..100 {
            for _ in 0..2 {
                let (lock, sender) = (Arc::clone(&lock), sender.clone());
                source.push(move |_| {
                    let mut sum = lock.lock();
                    *sum += (0..16_u64)
                        .into_par_iter()
                        .map(|_| {
                            thread::yield_now();
                            (0..4_u64).into_par_iter().map(|_| 1).sum::<u64>()
                        })
                        .sum::<u64>();
                    drop(sum);
                    sender.send(()).unwrap();
                });
            }
            receive(&receiver, &format!("the first under {manner:?}"));
            receive(&receiver, &format!("the second under {manner:?}"));
        }
        assert_eq!(*lock.lock(), 100 * 2 * 64);
        drop(watch);
        source.finish();
    }
}

#[test]
fn no_piece_runs_on_top_of_another_or_of_a_part() {
    fn fork(depth: u32) {
        if depth > 0 {
            let part = || {
                let _running = Running::begin();
                // Long enough for others to steal some.
                thread::sleep(Duration::from_micros(20));
                fork(depth - 1);
            };
            rayon::join(part, part);
        }
    }
    // There is work before the threads start, so that parts are forked while some have yet to find their loop.
    for round in 0..200 {
        let forks = round % 2 == 0;
        let source = Pieces::idle(4, Manner { longest: 20_000, forks });
        let watch = Watch::of(&source);
        let (sender, receiver) = channel();
        for _ in 0..8 {
            let sender = sender.clone();
            source.push(move |_| {
                let depth = DEPTH.get();
                fork(5);
                sender.send(depth).unwrap();
            });
        }
        source.begin();
        for _ in 0..8 {
            assert_eq!(receive(&receiver, "a piece that forks"), 1, "it runs on top of another");
        }
        drop(watch);
        source.finish();
    }
}

#[test]
fn a_worker_that_never_runs_dry_runs_what_was_given_to_rayon() {
    /// One piece after the other, until told.
    fn go_on(source: &Arc<Pieces>, over: &Arc<AtomicBool>) {
        if !over.load(Ordering::SeqCst) {
            let over = Arc::clone(over);
            source.push(move |source| go_on(source, &over));
        }
    }
    for manner in manners() {
        let source = Pieces::started(1, manner);
        let over = Arc::new(AtomicBool::new(false));
        let (sender, receiver) = channel();
        let goes_on = Arc::clone(&over);
        source.push(move |source| {
            rayon::spawn(move || sender.send(()).unwrap());
            go_on(source, &goes_on);
        });
        receive(&receiver, &format!("what was spawned, under {manner:?}"));
        over.store(true, Ordering::SeqCst);
        source.finish();
    }
}

#[test]
fn nobody_relies_on_a_worker_that_helps() {
    for manner in manners() {
        let source = Pieces::started(2, manner);
        let watch = Watch::of(&source);
        let gate = Arc::new(Gate::default());
        let (sender, receiver) = channel();
        let (passes, ended) = (Arc::clone(&gate), sender.clone());
        source.push(move |_| {
            let (began, begins) = channel();
            rayon::spawn(move || {
                began.send(()).unwrap();
                passes.pass();
            });
            // It is the other worker that helps, as one that has found nothing.
            receive(&begins, "the start of what was spawned");
            ended.send(()).unwrap();
        });
        receive(&receiver, "the end of the piece");
        // From here on nobody is woken but for work.
        drop(watch);
        for _ in 0..20 {
            if manner.longest < u64::MAX && !manner.forks {
                wait_until("the free worker sleeps", || source.workers.sleep.asleep() == 1);
            }
            let sender = sender.clone();
            source.push(move |_| sender.send(()).unwrap());
            receive(&receiver, &format!("work beside a worker that helps, under {manner:?}"));
        }
        gate.open();
        source.finish();
    }
}

#[test]
fn a_stray_panic_is_reported_and_ends_no_worker() {
    for manner in manners() {
        let source = Pieces::started(2, manner);
        let watch = Watch::of(&source);
        for round in 1..=10 {
            source.push(|_| rayon::spawn(|| std::panic::resume_unwind(Box::new("stray"))));
            wait_until("the report of a stray panic", || {
                source.strays.load(Ordering::SeqCst) == round
            });
        }
        // Both still run.
        let barrier = Arc::new(std::sync::Barrier::new(2));
        let (sender, receiver) = channel();
        for _ in 0..2 {
            let (barrier, sender) = (Arc::clone(&barrier), sender.clone());
            source.push(move |_| {
                barrier.wait();
                sender.send(()).unwrap();
            });
        }
        (0..2).for_each(|_| receive(&receiver, "both workers"));
        drop(watch);
        source.finish();
        assert_eq!(source.strays.load(Ordering::SeqCst), 10);
    }
}

#[test]
fn a_worker_whose_loop_panics_is_reported_and_the_other_goes_on() {
    for manner in manners() {
        let source = Pieces::started(2, manner);
        source.push(|_| std::panic::resume_unwind(Box::new("a fault of ours")));
        wait_until("the report of a worker that broke", || {
            source.broken.load(Ordering::SeqCst) == 1
        });
        let (sender, receiver) = channel();
        for _ in 0..100 {
            let sender = sender.clone();
            source.push(move |_| sender.send(()).unwrap());
            receive(&receiver, &format!("work beside a worker that broke, under {manner:?}"));
        }
        // Its thread ends with the others.
        source.finish();
        assert_eq!(source.strays.load(Ordering::SeqCst), 0, "counted once");
    }
}

#[test]
fn a_panic_in_a_part_comes_back_to_its_piece() {
    in_every_manner(3, 20, || {
        let caught = catch_unwind(AssertUnwindSafe(|| {
            (0..8).into_par_iter().for_each(|part| {
                if part == 5 {
                    std::panic::resume_unwind(Box::new("part"));
                }
            });
        }));
        assert_eq!(*caught.unwrap_err().downcast::<&str>().unwrap(), "part");
    });
}

// ---- threads ----

#[test]
fn threads_have_names_and_indices() {
    let source = Pieces::started(3, Manner { longest: 0, forks: false });
    let barrier = Arc::new(std::sync::Barrier::new(3));
    let (sender, receiver) = channel();
    for _ in 0..3 {
        let (barrier, sender) = (Arc::clone(&barrier), sender.clone());
        source.push(move |_| {
            barrier.wait();
            let name = thread::current().name().map(str::to_owned);
            let of_system = std::fs::read_to_string("/proc/thread-self/comm").ok();
            sender.send((rayon::current_thread_index(), name, of_system)).unwrap();
        });
    }
    let mut indices = HashSet::new();
    for _ in 0..3 {
        let (index, name, of_system) = receive(&receiver, "a thread's name");
        indices.insert(index);
        assert_eq!(name.as_deref(), Some("workers_of_a_test"));
        if let Some(of_system) = of_system {
            assert_eq!(of_system.trim_end(), "workers_of_a_te", "the first 15 bytes");
        }
    }
    assert_eq!(indices, HashSet::from([Some(0), Some(1), Some(2)]));
    source.finish();
}

#[test]
fn pinned_threads_run_also_if_there_are_fewer_cores() {
    for first in [0, 1_000_000, usize::MAX] {
        let spec = Spec { name: &|_| "pinned".to_owned(), threads: 3, first_core: Some(first) };
        let workers = Workers::new(&spec, |_| ()).expect("threads can be had");
        assert_eq!(workers.alive(), 3);
        workers.release();
        assert!(workers.join(Instant::now() + LIMIT));
        assert_eq!(workers.alive(), 0);
    }
}
