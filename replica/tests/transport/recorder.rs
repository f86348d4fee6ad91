//! A handler that writes down what it takes, and takes what the test lets it take.

use std::{
    collections::HashSet,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use gossip_engine::{
    EventError, FlowType, GossipMessage, NodeId, RefusalReason, Submitted, TransportEvent,
    wire::{self, DecodeError},
};
use gossip_replica::transport::Handler;
use tokio::sync::watch;
use tower_service::Service;

/// After this long something that has to happen does not.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// Waits for `future`, but not for ever.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(LIMIT, future).await {
        Ok(value) => value,
        Err(_) => panic!("not within {LIMIT:?}: {what}"),
    }
}

/// Waits until `condition` holds, looking again and again.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    within(what, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Recorder(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    taken: watch::Sender<Vec<TransportEvent>>,
    held: watch::Sender<HashSet<FlowType>>,
    waiting: watch::Sender<usize>,
    answers: Mutex<Vec<Result<Submitted, EventError>>>,
    panics: Mutex<HashSet<FlowType>>,
}

impl Recorder {
    /// What has been taken, in order.
    pub(crate) fn events(&self) -> Vec<TransportEvent> {
        self.0.taken.borrow().clone()
    }

    /// What has been taken of one peer, in order.
    pub(crate) fn events_of(&self, peer: NodeId) -> Vec<TransportEvent> {
        self.events().into_iter().filter(|event| peer_of(event) == peer).collect()
    }

    /// The messages of one peer in one flow, in order.
    pub(crate) fn messages(&self, peer: NodeId, flow: FlowType) -> Vec<GossipMessage> {
        self.events_of(peer)
            .into_iter()
            .filter_map(|event| match event {
                TransportEvent::Message(message) => Some(wire::decode(message.payload).unwrap()),
                _ => None,
            })
            .filter(|message| message.flow() == flow)
            .collect()
    }

    /// How often a peer has come and gone.
    pub(crate) fn ups_and_downs(&self, peer: NodeId) -> (usize, usize) {
        let events = self.events_of(peer);
        let count = |wanted| events.iter().filter(|event| **event == wanted).count();
        (count(TransportEvent::PeerUp(peer)), count(TransportEvent::PeerDown(peer)))
    }

    pub(crate) async fn until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let mut taken = self.0.taken.subscribe();
        within(what, async {
            while !condition(self) {
                taken.changed().await.unwrap();
            }
        })
        .await;
    }

    /// Lets the events of a flow wait.
    pub(crate) fn hold(&self, flow: FlowType) {
        self.0.held.send_modify(|held| _ = held.insert(flow));
    }

    /// Lets them go on.
    pub(crate) fn release(&self, flow: FlowType) {
        self.0.held.send_modify(|held| _ = held.remove(&flow));
    }

    /// Waits until an event waits.
    pub(crate) async fn until_one_waits(&self) {
        let mut waiting = self.0.waiting.subscribe();
        within("an event waits", waiting.wait_for(|waiting| *waiting > 0)).await.unwrap();
    }

    /// How many events wait.
    pub(crate) fn waiting(&self) -> usize {
        *self.0.waiting.borrow()
    }

    /// Refuses the next messages.
    pub(crate) fn refuse_next(&self, refusals: impl IntoIterator<Item = EventError>) {
        self.answer_next(refusals.into_iter().map(Err));
    }

    /// Takes none of the next messages, and answers so.
    pub(crate) fn answer_next(
        &self,
        answers: impl IntoIterator<Item = Result<Submitted, EventError>>,
    ) {
        self.0.answers.lock().unwrap().extend(answers);
    }

    /// Panics at the next event of a flow, which is not taken.
    pub(crate) fn panic_next(&self, flow: FlowType) {
        self.0.panics.lock().unwrap().insert(flow);
    }

    /// The events of a peer are: up, messages, down, up, ... and nothing else.
    pub(crate) fn assert_in_order(&self, peer: NodeId) {
        let mut up = false;
        for event in self.events_of(peer) {
            match event {
                TransportEvent::PeerUp(_) => assert!(!std::mem::replace(&mut up, true)),
                TransportEvent::PeerDown(_) => assert!(std::mem::replace(&mut up, false)),
                TransportEvent::Message(_) => assert!(up, "a message of a peer that is down"),
            }
        }
    }
}

pub(crate) fn refusal(peer: NodeId, flow: FlowType, reason: RefusalReason) -> EventError {
    EventError::Refused { peer, flow, reason }
}

fn peer_of(event: &TransportEvent) -> NodeId {
    match event {
        TransportEvent::Message(message) => message.peer_id,
        TransportEvent::PeerUp(peer) | TransportEvent::PeerDown(peer) => *peer,
    }
}

fn flow_of(event: &TransportEvent) -> Result<FlowType, EventError> {
    match event {
        TransportEvent::Message(message) => wire::decode(message.payload.clone())
            .map(|message| message.flow())
            .map_err(|source| match source {
                DecodeError::Unknown { .. } => {
                    EventError::Unknown { peer: message.peer_id, source }
                }
                source => EventError::Malformed { peer: message.peer_id, source },
            }),
        _ => Ok(FlowType::Transport),
    }
}

/// Counts itself as waiting, also when it is dropped.
struct Waiting<'a>(&'a watch::Sender<usize>);

impl<'a> Waiting<'a> {
    fn new(count: &'a watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

impl Service<TransportEvent> for Recorder {
    type Response = Submitted;
    type Error = EventError;
    type Future = Pin<Box<dyn Future<Output = Result<Submitted, EventError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), EventError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, event: TransportEvent) -> Self::Future {
        let inner = self.0.clone();
        Box::pin(async move {
            inner.admit(flow_of(&event)?).await;
            {
                let mut answers = inner.answers.lock().unwrap();
                if !answers.is_empty() {
                    return answers.remove(0);
                }
            }
            inner.take(event);
            Ok(Submitted::Admitted)
        })
    }
}

impl Inner {
    /// Waits while the flow is held. Panics if that is what the test wants.
    async fn admit(&self, flow: FlowType) {
        let panics = self.panics.lock().unwrap().remove(&flow);
        assert!(!panics, "a handler that panics");
        let mut held = self.held.subscribe();
        if held.borrow_and_update().contains(&flow) {
            let _waiting = Waiting::new(&self.waiting);
            held.wait_for(|held| !held.contains(&flow)).await.unwrap();
        }
    }

    fn take(&self, event: TransportEvent) {
        self.taken.send_modify(|taken| taken.push(event));
    }
}

/// A peer that has arrived, and departs with it.
#[derive(Debug)]
pub(crate) struct Arrived {
    inner: Arc<Inner>,
    peer: NodeId,
}

impl Drop for Arrived {
    fn drop(&mut self) {
        self.inner.take(TransportEvent::PeerDown(self.peer));
    }
}

impl Handler for Recorder {
    type Connection = Arrived;

    async fn connect(&mut self, peer: NodeId) -> Result<Arrived, RefusalReason> {
        let inner = self.0.clone();
        inner.admit(FlowType::Transport).await;
        inner.take(TransportEvent::PeerUp(peer));
        Ok(Arrived { inner, peer })
    }

    async fn close(arrived: Arrived) {
        arrived.inner.admit(FlowType::Transport).await;
    }
}
