//! Tasks that panic are started again, and those that end are not.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use super::supervise;
use crate::transport::{counters::Counters, stop::Stop};

#[tokio::test(start_paused = true)]
async fn a_task_that_panics_is_counted_and_started_again() {
    let (counters, starts) = (Arc::new(Counters::default()), Arc::new(AtomicU64::new(0)));
    let count = starts.clone();
    supervise("a test", counters.clone(), &[Stop::new()], move || {
        let start = count.fetch_add(1, Relaxed);
        async move { assert!(start >= 20, "it fails twenty times") }
    })
    .await;
    assert_eq!((starts.load(Relaxed), counters.snapshot().failed_tasks), (21, 20));
}

#[tokio::test(start_paused = true)]
async fn stopped_it_tries_once_more_and_no_further() {
    let (counters, starts) = (Arc::new(Counters::default()), Arc::new(AtomicU64::new(0)));
    let (count, stop) = (starts.clone(), Stop::new());
    let stopping = stop.clone();
    supervise("a test", counters.clone(), &[Stop::new(), stop], move || {
        count.fetch_add(1, Relaxed);
        stopping.set();
        async { panic!("always") }
    })
    .await;
    assert_eq!((starts.load(Relaxed), counters.snapshot().failed_tasks), (2, 2));
}

#[tokio::test]
async fn dropped_it_takes_its_task_with_it() {
    struct Alive(Arc<AtomicU64>);
    impl Drop for Alive {
        fn drop(&mut self) {
            self.0.fetch_add(1, Relaxed);
        }
    }
    let ends = Arc::new(AtomicU64::new(0));
    let counted = ends.clone();
    let (started, mut start) = tokio::sync::mpsc::unbounded_channel();
    let task = tokio::spawn(async move {
        supervise("a test", Arc::default(), &[Stop::new()], move || {
            let alive = Alive(counted.clone());
            let _ = started.send(());
            async move {
                pending::<()>().await;
                drop(alive);
            }
        })
        .await;
    });
    start.recv().await.unwrap();
    task.abort();
    while ends.load(Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
}
