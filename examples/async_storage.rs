//! Writes to a slow storage, by handlers that only begin them.
//!
//! Each handler spawns a task on a tokio runtime, and moves the slot of its message into it. So the flow's bound is how
//! many writes there are at a time, with fewer threads than that, and the flow knows how long a write takes. It drains:
//! a peer that hangs up has left when all that it sent is written.
//!
//! ```text
//! cargo run --release --example async_storage
//! cargo add tokio --features rt-multi-thread,time    # in a crate of your own
//! ```

#![expect(clippy::disallowed_types, reason = "a program of its own takes the standard library's")]

use std::{
    error::Error,
    io::{Write as _, stdout},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use gossip_engine::{Departure, Engine, FlowConfig, MessageHandler, MetricsRegistry, Slot};
use tokio::{
    runtime::{Builder, Handle},
    time::sleep,
};

const BOUND: usize = 10;
const THREADS: usize = 2;
const PEERS: [&str; 4] = ["bern", "basel", "chur", "genf"];
/// Of each peer.
const WRITES: usize = 100;
/// What the storage takes for one.
const WRITE: Duration = Duration::from_millis(20);

/// Counts what it does.
#[derive(Default)]
struct Storage {
    writing: AtomicUsize,
    most: AtomicUsize,
    written: AtomicUsize,
}

impl Storage {
    async fn write(&self, _: Vec<u8>) {
        // Relaxed: counts and nothing else.
        let writing = self.writing.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(writing, Ordering::Relaxed);
        sleep(WRITE).await;
        self.writing.fetch_sub(1, Ordering::Relaxed);
        self.written.fetch_add(1, Ordering::Relaxed);
    }
}

struct Write {
    storage: Arc<Storage>,
    runtime: Handle,
}

impl MessageHandler<Vec<u8>, String> for Write {
    fn handle(&self, _: &String, bytes: Vec<u8>) {
        let slot = Slot::take().expect("in a handler, and once");
        let storage = Arc::clone(&self.storage);
        self.runtime.spawn(async move {
            storage.write(bytes).await;
            // The message has finished, and the next is let in.
            drop(slot);
        });
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_time().build()?;
    let storage = Arc::new(Storage::default());
    let registry = MetricsRegistry::new();
    let mut builder = Engine::<String>::builder(&registry);
    let config = FlowConfig::new(BOUND).with_threads(THREADS).with_departure(Departure::Drain);
    let handler = Write { storage: Arc::clone(&storage), runtime: runtime.handle().clone() };
    let writes = builder.flow("writes", config, handler)?;
    let engine = builder.build()?;
    let started = Instant::now();
    runtime.block_on(async {
        let peers = PEERS.map(|peer| {
            let (engine, writes) = (engine.clone(), Arc::clone(&writes));
            runtime.spawn(async move {
                let connection = engine.connect(peer.to_owned()).await.expect("the engine is open");
                let mut submitter = writes.submitter_owned(connection.id());
                for _ in 0..WRITES {
                    // Waits while there are as many as the bound, or the peer's quota, allows.
                    submitter.execute(vec![0; 4_096]).await.expect("the flow is open");
                }
                connection.close().await;
            })
        });
        for peer in peers {
            peer.await.expect("no peer panics");
        }
    });
    let took = started.elapsed();
    let [written, most] =
        [&storage.written, &storage.most].map(|count| count.load(Ordering::Relaxed));
    assert_eq!(written, PEERS.len() * WRITES, "they were written before their peers had gone");
    assert!(engine.shutdown(Duration::from_secs(10)).is_clean());
    registry.snapshot().verify()?;
    writeln!(stdout(), "{written} writes of {WRITE:?} in {took:?}, {most} at a time at most")?;
    Ok(())
}
