//! Who sleeps and who wakes whom, explored by loom: the real [`Sleep`], and in `threads` real workers on real parkers.
//!
//! Work is a count that orders nothing, so what a model sees of it it sees by the fences and locks of `sleep` alone.

mod threads;

use loom::thread;

use super::*;
use crate::sync::{AtomicBool, AtomicUsize, Ordering};

/// Pieces that rest.
#[derive(Debug, Default)]
struct Work(AtomicUsize);

impl Work {
    /// A piece is available, and the fence before [`Sleep::notify`].
    fn push(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn rests(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }

    /// Takes a piece, if it sees one; says how many are left.
    fn take(&self) -> Option<usize> {
        let mut seen = self.0.load(Ordering::Relaxed);
        while seen > 0 {
            match self.0.compare_exchange(seen, seen - 1, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some(seen - 1),
                Err(now) => seen = now,
            }
        }
        None
    }
}

/// What a model is about: workers of which the last so many sleep, and work.
#[derive(Debug)]
struct Scene {
    sleep: Sleep,
    work: Work,
}

fn scene(searching: usize, sleeping: usize) -> Arc<Scene> {
    let sleep = Sleep::all_searching(searching + sleeping);
    for worker in searching..searching + sleeping {
        assert!(sleep.fall_asleep(worker, || false));
    }
    Arc::new(Scene { sleep, work: Work::default() })
}

impl Scene {
    /// Makes a piece available and says who is to be woken for it.
    fn submit(&self) -> Option<usize> {
        self.work.push();
        self.sleep.notify()
    }

    /// A worker that has found nothing goes to sleep; false if it has seen work.
    fn falls_asleep(&self, worker: usize) -> bool {
        self.sleep.fall_asleep(worker, || self.work.rests())
    }
}

#[test]
fn work_and_a_worker_that_falls_asleep_never_rest_together() {
    loom::model(|| {
        let scene = scene(1, 0);
        let worker = {
            let scene = Arc::clone(&scene);
            thread::spawn(move || scene.falls_asleep(0))
        };
        let woken = scene.submit();
        let sleeps = worker.join().unwrap();
        // Woken, or awake by itself. If it was woken as it went on, its parker says so.
        assert!(!sleeps || woken == Some(0), "the work rests and the worker sleeps");
        assert!(sleeps || woken.is_none(), "it got up by itself and was woken, too");
    });
}

#[test]
fn the_last_who_searched_wakes_the_next_for_what_came_meanwhile() {
    loom::model(|| {
        let scene = scene(1, 1);
        scene.work.push();
        let worker = {
            let scene = Arc::clone(&scene);
            thread::spawn(move || {
                scene.work.take().expect("it has happened before");
                // Runs it for ever.
                scene.sleep.found(|| scene.work.rests())
            })
        };
        let woken = scene.submit();
        let also = worker.join().unwrap();
        assert_eq!(woken.or(also), Some(1), "the work rests and a worker sleeps");
        assert!(woken.is_none() || also.is_none(), "a worker is woken once");
    });
}

#[test]
fn of_two_who_searched_one_wakes_the_next() {
    loom::model(|| {
        let scene = scene(2, 1);
        scene.work.push();
        scene.work.push();
        let workers = [(); 2].map(|()| {
            let scene = Arc::clone(&scene);
            thread::spawn(move || {
                scene.work.take().expect("it has happened before");
                scene.sleep.found(|| scene.work.rests())
            })
        });
        let woken = scene.submit();
        let woken = workers.map(|worker| worker.join().unwrap()).into_iter().chain([woken]);
        assert_eq!(woken.flatten().collect::<Vec<_>>(), [2]);
    });
}

#[test]
fn two_who_submit_wake_one_and_that_one_the_next() {
    loom::model(|| {
        let scene = scene(0, 2);
        let other = {
            let scene = Arc::clone(&scene);
            thread::spawn(move || scene.submit())
        };
        let woken = [scene.submit(), other.join().unwrap()];
        assert_eq!(woken.iter().flatten().count(), 1, "one worker is woken at a time");
        assert_eq!(scene.work.take(), Some(1));
        let next = scene.sleep.found(|| scene.work.rests());
        assert!(next.is_some() && !woken.contains(&next), "another is woken for the rest");
    });
}

#[test]
fn a_worker_is_woken_or_stays_awake() {
    loom::model(|| {
        let scene = scene(0, 1);
        let worker = {
            let scene = Arc::clone(&scene);
            thread::spawn(move || {
                // After a nap. Sleeps again if it finds nothing.
                let stays = scene.sleep.stay_awake(0);
                (stays, stays && scene.falls_asleep(0))
            })
        };
        let woken = scene.submit();
        let (stays, sleeps_again) = worker.join().unwrap();
        match woken {
            None => assert!(stays && !sleeps_again, "the work rests and the worker sleeps"),
            Some(_) => assert!(!stays || sleeps_again, "it stays awake and is woken, too"),
        }
    });
}

#[test]
fn a_worker_that_falls_asleep_hears_of_the_end() {
    loom::model(|| {
        let scene = scene(1, 1);
        let over = Arc::new(AtomicBool::new(false));
        let worker = {
            let (scene, over) = (Arc::clone(&scene), Arc::clone(&over));
            thread::spawn(move || scene.sleep.fall_asleep(0, || over.load(Ordering::Relaxed)))
        };
        over.store(true, Ordering::Relaxed);
        let mut woken = Vec::new();
        scene.sleep.wake_all(|worker| woken.push(worker));
        let sleeps = worker.join().unwrap();
        assert!(woken.contains(&1), "it slept before");
        assert_eq!(sleeps, woken.contains(&0), "it sleeps and is not woken, or the reverse");
    });
}

#[test]
fn a_worker_is_woken_by_one_of_those_who_wake_all_or_one() {
    loom::model(|| {
        let scene = scene(0, 2);
        let other = {
            let scene = Arc::clone(&scene);
            thread::spawn(move || scene.submit())
        };
        let mut woken = Vec::new();
        scene.sleep.wake_all(|worker| woken.push(worker));
        woken.extend(other.join().unwrap());
        woken.sort_unstable();
        assert_eq!(woken, [0, 1]);
        assert_eq!(scene.sleep.asleep(), 0);
        assert!(!scene.sleep.are_busy(2));
    });
}

#[test]
fn nobody_relies_on_a_worker_that_helps() {
    loom::model(|| {
        let scene = scene(1, 1);
        let worker = {
            let scene = Arc::clone(&scene);
            // Begins to help, and does so for ever.
            thread::spawn(move || scene.sleep.found(|| scene.work.rests()))
        };
        let woken = scene.submit();
        let also = worker.join().unwrap();
        assert_eq!(
            woken.or(also),
            Some(1),
            "the work rests, a worker sleeps and the other one helps"
        );
    });
}

#[test]
fn a_worker_that_has_helped_looks_once_more() {
    loom::model(|| {
        let scene = scene(1, 0);
        let worker = {
            let scene = Arc::clone(&scene);
            thread::spawn(move || {
                let next = scene.sleep.found(|| scene.work.rests());
                assert_eq!(next, None, "nobody else is there");
                scene.sleep.search();
                scene.falls_asleep(0)
            })
        };
        let woken = scene.submit();
        let sleeps = worker.join().unwrap();
        assert_eq!(
            sleeps,
            woken == Some(0),
            "the work rests and the worker sleeps, or the reverse"
        );
    });
}
