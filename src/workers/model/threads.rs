//! Real workers on real parkers: what they find, run, and wake each other for, as loom explores it.

use loom::thread;

use super::{super::*, Work};
use crate::sync::{AtomicBool, AtomicUsize, Ordering};

/// So many pieces, and then the end.
struct Pieces {
    work: Work,
    left: AtomicUsize,
    over: AtomicBool,
    forks: bool,
    workers: Workers,
}

impl Source for Pieces {
    type Worker = bool;

    fn worker(&self, _: usize) -> Self::Worker {
        false
    }

    fn take(&self, more: &mut Self::Worker) -> Found {
        match self.work.take() {
            None => Found::Nothing,
            Some(left) => {
                *more = left > 0;
                Found::Work { more: left > 0 }
            }
        }
    }

    fn run(&self, _: &mut Self::Worker, _: Option<Moment>) -> Moment {
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.over.store(true, Ordering::Relaxed);
            self.workers.wake_all();
        }
        Moment::now()
    }

    fn is_ready(&self) -> bool {
        self.work.rests()
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn manner(&self) -> Manner {
        Manner { longest: 0, forks: self.forks }
    }

    fn worker_broke(&self, payload: Box<dyn std::any::Any + Send>) {
        std::panic::resume_unwind(payload);
    }
}

impl Pieces {
    fn new(sleep: Sleep, workers: usize, pieces: usize, forks: bool) -> Arc<Self> {
        Arc::new(Self {
            work: Work::default(),
            left: AtomicUsize::new(pieces),
            over: AtomicBool::new(false),
            forks,
            workers: Workers {
                sleep,
                parkers: (0..workers).map(|_| Parker::default()).collect(),
                window: SpinWindow::new(),
                threads: Threads::none(),
            },
        })
    }
}

#[test]
fn a_busy_worker_wakes_another_for_what_it_has_found_beside_its_own() {
    loom::model(|| {
        // The first is busy, the other searches.
        let sleep = Sleep::all_searching(2);
        assert_eq!(sleep.found(|| false), None);
        let source = Pieces::new(sleep, 2, 1, false);
        let busy = {
            let source = Arc::clone(&source);
            thread::spawn(move || {
                // It has moved what nobody else could have taken; without a fence.
                source.work.0.fetch_add(1, Ordering::Relaxed);
                source.workers.found(&*source, &mut false, true);
            })
        };
        let sleeps = source.workers.sleep.fall_asleep(1, || source.work.rests());
        busy.join().unwrap();
        let woken = source.workers.parkers[1].woken.load(Ordering::Relaxed);
        assert_eq!(sleeps, woken, "the work rests and the worker sleeps, or the reverse");
    });
}

#[test]
fn a_worker_that_takes_the_last_it_sees_wakes_another_for_what_came_meanwhile() {
    loom::model(|| {
        // The first searches, the other sleeps.
        let sleep = Sleep::all_searching(2);
        assert!(sleep.fall_asleep(1, || false));
        let source = Pieces::new(sleep, 2, 1, false);
        let worker = {
            let source = Arc::clone(&source);
            thread::spawn(move || source.workers.found(&*source, &mut true, false))
        };
        source.work.push();
        source.workers.notify();
        worker.join().unwrap();
        let woken = source.workers.parkers[1].woken.load(Ordering::Relaxed);
        assert!(woken, "the work rests and the worker sleeps");
    });
}

/// All pieces run and all workers end, or loom finds threads that are stuck.
fn all_is_run(workers: usize, pieces: usize, forks: bool, preemptions: usize) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(move || {
        let source = Pieces::new(Sleep::all_searching(workers), workers, pieces, forks);
        let threads: Vec<_> = (0..workers)
            .map(|index| {
                let source = Arc::clone(&source);
                thread::spawn(move || source.workers.work(&*source, index))
            })
            .collect();
        for _ in 0..pieces {
            source.work.push();
            source.workers.notify();
        }
        // Only a simulation has one begin anew.
        threads.into_iter().for_each(|thread| assert!(!thread.join().unwrap()));
        assert_eq!(source.left.load(Ordering::Acquire), 0);
        assert_eq!(source.workers.sleep.asleep(), 0);
    });
}

#[test]
fn one_worker_runs_all_and_ends() {
    all_is_run(1, 2, false, 3);
}

#[test]
fn two_workers_run_all_and_end() {
    all_is_run(2, 2, false, 2);
}

#[test]
fn one_worker_whose_work_forks_runs_all_and_ends() {
    all_is_run(1, 2, true, 3);
}

#[test]
fn a_sleeper_is_woken_and_the_token_is_used_once() {
    loom::model(|| {
        let parker = Arc::new(Parker::default());
        let said = Arc::new(AtomicUsize::new(0));
        let sleeper = {
            let (parker, said) = (Arc::clone(&parker), Arc::clone(&said));
            thread::spawn(move || {
                parker.thread.get_or_init(current_thread);
                said.store(1, Ordering::Release);
                assert!(parker.sleep(None));
                assert_eq!(said.load(Ordering::Relaxed), 2, "it sees what was done before");
                assert!(!parker.sleep(Some(NAP)), "nobody has woken it again");
            })
        };
        // Who wakes somebody has found him in the list, after he began.
        while said.load(Ordering::Acquire) == 0 {
            thread::yield_now();
        }
        said.store(2, Ordering::Relaxed);
        parker.wake();
        sleeper.join().unwrap();
    });
}
