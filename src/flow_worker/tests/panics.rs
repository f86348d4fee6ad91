//! Handlers that panic.

use super::*;
use crate::workers::Source;

/// A handler that panics on odd numbers, and whose hook says of whom and panics, too.
struct Panics(Sender<NodeId>);

impl MessageHandler<u32> for Panics {
    fn handle(&self, _: &NodeId, message: u32) {
        assert!(message.is_multiple_of(2), "on purpose");
    }

    fn panicked(&self, peer: &NodeId) {
        self.0.send(*peer).unwrap();
        panic!("this too");
    }
}

#[test]
fn each_panic_is_counted_and_its_hook_called_and_the_flow_goes_on() {
    let (sender, receiver) = channel();
    let config = FlowConfig::new(10).with_threads(1);
    let flow = FlowWorker::new(FlowType::Request, &config, &MetricsRegistry::new(), Panics(sender));
    let flow = flow.unwrap();
    for message in 0..20 {
        block_on(flow.execute(peer((message % 4) as u8), message)).unwrap();
        at_rest(&flow);
    }
    let counts = flow.snapshot();
    assert_eq!((counts.panicked(), counts.handled(), counts.stray_panics), (10, 10, 0));
    assert_eq!((counts.wait.count(), counts.service.count()), (20, 20));
    assert!(flow.shutdown(LIMIT).is_clean());
    let expected = (0..5).flat_map(|_| [peer(1), peer(3)]);
    assert!(receiver.try_iter().eq(expected));
}

/// The flow whose handler has this.
#[expect(clippy::disallowed_types, reason = "a test's own")]
type Owner = std::sync::Mutex<Option<Weak<FlowWorker<u32>>>>;

/// A handler that panics on 0, and whose hook shuts the flow down.
struct Fails {
    flow: Arc<Owner>,
    go: crossbeam::channel::Receiver<()>,
    reports: Sender<crate::FlowReport>,
}

impl MessageHandler<u32> for Fails {
    fn handle(&self, _: &NodeId, message: u32) {
        self.go.recv_timeout(LIMIT).unwrap();
        assert!(message > 0, "on purpose");
    }

    fn failed(&self, _: &NodeId) {
        let flow = self.flow.lock().unwrap().clone().unwrap().upgrade().unwrap();
        self.reports.send(flow.shutdown(LIMIT)).unwrap();
        panic!("this too");
    }
}

#[test]
fn a_flow_that_fails_by_a_panic_calls_its_hook_once_which_may_shut_it_down() {
    let (go, gone) = crossbeam::channel::unbounded();
    let (sender, reports) = channel();
    let owner = Arc::<Owner>::default();
    let fails = Fails { flow: Arc::clone(&owner), go: gone, reports: sender };
    let config = FlowConfig::new(10).with_threads(1).with_panic_policy(PanicPolicy::FailFast);
    let flow = FlowWorker::new(FlowType::Request, &config, &MetricsRegistry::new(), fails);
    let flow = Arc::new(flow.unwrap());
    *owner.lock().unwrap() = Some(Arc::downgrade(&flow));
    block_on(flow.execute(peer(1), 0)).unwrap();
    block_on(flow.execute(peer(1), 1)).unwrap();
    go.send(()).unwrap();
    let report = reports.recv_timeout(LIMIT / 2).expect("it does not wait for itself");
    assert_eq!((report.dropped, report.running, report.joined), (0, 2, false));
    go.send(()).unwrap();
    let refused = block_on(flow.execute(peer(1), 2)).unwrap_err();
    assert_eq!(refused.reason, RefusalReason::Closed);
    assert!(flow.shutdown(LIMIT).is_clean());
    assert_eq!((at_rest(&flow).panicked(), at_rest(&flow).handled()), (1, 1));
    assert!(reports.try_recv().is_err(), "once");
}

#[test]
fn a_worker_that_breaks_closes_the_flow_and_refuses_those_who_wait() {
    let (handler, started, leave) = gated();
    let flow = flow(FlowConfig::new(2).with_threads(2), handler);
    block_on(flow.execute(peer(1), 0)).unwrap();
    started.recv_timeout(LIMIT).unwrap();
    block_on(flow.execute(peer(1), 3)).unwrap();
    let mut waits = flow.execute(peer(1), 1);
    assert!((&mut waits).now_or_never().is_none(), "there is no capacity");
    Source::worker_broke(&**flow.inner, Box::new("a fault of ours"));
    assert_eq!(flow.snapshot().in_flight, 2, "the other worker goes on");
    assert_eq!(at_once(flow.execute(peer(1), 2)).unwrap_err().reason, RefusalReason::Closed);
    Source::worker_broke(&**flow.inner, Box::new("a fault of ours"));
    assert_eq!(block_on(waits).unwrap_err().reason, RefusalReason::Closed);
    leave.send(()).unwrap();
    assert!(flow.shutdown(LIMIT).is_clean());
    let counts = at_rest(&flow);
    assert_eq!((counts.handled(), counts.stray_panics), (1, 2));
    assert_eq!(counts.count(Outcome::DroppedAtShutdown), 1, "nobody is left to run it");
}
