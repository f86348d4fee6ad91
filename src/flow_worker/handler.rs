//! What a flow does with a message.

use super::Received;
use crate::{NodeId, Outcome, PeerKey};

/// What a flow does with a message of a peer.
///
/// Every `Fn(&K, M)` that may be shared between threads is one. A closure names the type of its first argument, as in
/// `|peer: &NodeId, message|`. It runs on several threads at the same time, unless the flow has one. Messages of one
/// peer run one at a time, unless [`with_peer_threads`](crate::FlowConfig::with_peer_threads) says otherwise.
///
/// # A deadline and a span of a message's own
///
/// What belongs to one message is a field of it: the deadline after which its answer is of no use, or the tracing span
/// of its submitter. The handler checks the deadline and enters the span. A message that the handler skips counts as
/// [`Handled`](Outcome::Handled), so count it yourself. Where one age holds for all messages of a flow, use
/// [`with_max_age`](crate::FlowConfig::with_max_age), which counts them as [`Expired`](Outcome::Expired).
/// [`queue_delay`](crate::queue_delay) says how long a message has waited.
///
/// ```
/// use std::{sync::mpsc, time::{Duration, Instant}};
/// use gossip_engine::{FlowConfig, FlowWorker, MetricsRegistry};
///
/// struct Read {
///     block: u64,
///     deadline: Instant,
///     span: tracing::Span,
/// }
///
/// let (sender, receiver) = mpsc::channel();
/// let handler = move |_: &u16, read: Read| {
///     let _entered = read.span.enter();
///     if Instant::now() > read.deadline {
///         tracing::debug!(block = read.block, "nobody waits for it any more");
///         return;
///     }
///     sender.send(read.block).unwrap();
/// };
/// let flow = FlowWorker::new("reads", &FlowConfig::new(10), &MetricsRegistry::new(), handler)?;
/// let read = |block, deadline| Read { block, deadline, span: tracing::Span::current() };
/// let now = Instant::now();
/// flow.try_execute(7_u16, read(1, now - Duration::from_millis(1))).ok().expect("there is capacity");
/// flow.try_execute(7_u16, read(2, now + Duration::from_secs(60))).ok().expect("there is capacity");
/// assert_eq!(receiver.recv(), Ok(2));
/// # Ok::<(), gossip_engine::BuildError>(())
/// ```
pub trait MessageHandler<M, K: PeerKey = NodeId>: Send + Sync + 'static {
    /// Runs one message, on a thread of the flow.
    fn handle(&self, peer: &K, message: M);

    /// Runs several messages, of several peers, by one call: those that have gathered while the flow's threads were
    /// busy. A message that comes alone is [handled](Self::handle) alone. Messages of one peer stand in their order,
    /// unless several threads may serve it.
    ///
    /// The [service time](crate::FlowSnapshot::service) of each is that of the call. A panic counts for each of them,
    /// since nobody knows whose it was. There are no [slots](crate::Slot) in here.
    ///
    /// Called only if [`max_batch`](Self::max_batch) is above 1; by default it handles them one by one.
    fn handle_many(&self, messages: Vec<Received<M, K>>) {
        for received in messages {
            received.handle_by(self);
        }
    }

    /// How many messages one call of [`handle_many`](Self::handle_many) should take: 1, the default, and 0 mean that
    /// there is no such call; at most [`MAX_BATCH`](crate::MAX_BATCH) count. Asked when the handler is given to the
    /// flow. A call may get up to 31 messages more, as they come in runs.
    ///
    /// Raise it where a call costs much beside a message: signatures that are verified together, rows of a database.
    /// Of one peer a batch gets at most the messages of a turn, which is as many as are expected to fit into the
    /// [quantum](crate::FlowConfig::with_quantum), so raise that as well where few peers send most.
    fn max_batch(&self) -> usize {
        1
    }

    /// Whether `newer` says all that `older` says, which was submitted before it by the same peer, so that `older` need
    /// not run. False, unless it is implemented.
    ///
    /// Asked only where there is no capacity and the policy is
    /// [`KeepLatest`](crate::OverloadPolicy::KeepLatest), on the thread that submits `newer`, up to 1 024 times for one
    /// message. Meanwhile nothing of that peer starts in this flow, so it should compare keys, and do no more. A panic
    /// in it is contained, and counts as false for all that were still to be compared.
    ///
    /// ```
    /// use std::sync::{Arc, Mutex};
    /// use gossip_engine::{FlowConfig, FlowWorker, MessageHandler, MetricsRegistry, Outcome, OverloadPolicy};
    ///
    /// struct Vote { validator: u32, height: u64 }
    ///
    /// /// Keeps the height of each vote that it counts, as long as the lock is free.
    /// struct Votes(Arc<Mutex<Vec<u64>>>);
    ///
    /// impl MessageHandler<Vote, u16> for Votes {
    ///     fn handle(&self, _: &u16, vote: Vote) {
    ///         self.0.lock().unwrap().push(vote.height);
    ///     }
    ///     fn supersedes(&self, newer: &Vote, older: &Vote) -> bool {
    ///         newer.validator == older.validator && newer.height >= older.height
    ///     }
    /// }
    ///
    /// let heights = Arc::new(Mutex::new(Vec::new()));
    /// let config = FlowConfig::new(4)
    ///     .with_peer_quota(4)
    ///     .with_threads(1)
    ///     .with_overload_policy(OverloadPolicy::KeepLatest);
    /// let registry = MetricsRegistry::new();
    /// let flow = FlowWorker::new("votes", &config, &registry, Votes(Arc::clone(&heights)))?;
    /// let busy = heights.lock().unwrap();
    /// for height in 0..100 {
    ///     flow.execute(7_u16, Vote { validator: 1, height }).wait().expect("it never waits");
    /// }
    /// drop(busy);
    /// # while flow.snapshot().in_flight > 0 { std::thread::yield_now(); }
    /// assert_eq!(heights.lock().unwrap().last(), Some(&99));
    /// assert!(flow.snapshot().count(Outcome::Superseded) >= 95);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn supersedes(&self, _newer: &M, _older: &M) -> bool {
        false
    }

    /// Takes a message that will not run, because of this outcome. It was admitted, or its submitter has heard that it
    /// was [dropped](crate::Submitted::Dropped). Called once for each of them, on the thread that has dropped it, which
    /// may be a submitter's. A panic in it is contained.
    fn discarded(&self, _peer: &K, message: M, _outcome: Outcome) {
        drop(message);
    }

    /// [`handle`](Self::handle) or [`handle_many`](Self::handle_many) has panicked on a message of this peer, which is
    /// contained and counted. (A panic of the other methods is contained and logged.) Called on the same thread,
    /// which may shut the flow down; a panic in it is contained.
    fn panicked(&self, _peer: &K) {}

    /// The flow admits nothing more, because a handler has panicked on a message of this peer
    /// ([`PanicPolicy::FailFast`](crate::PanicPolicy::FailFast)). Called once, on a thread of the flow,
    /// which may shut the flow down; a panic in it is contained.
    fn failed(&self, _peer: &K) {}
}

impl<M, K: PeerKey, F: Fn(&K, M) + Send + Sync + 'static> MessageHandler<M, K> for F {
    fn handle(&self, peer: &K, message: M) {
        self(peer, message);
    }
}
