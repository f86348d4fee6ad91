//! Handlers that panic.

use super::*;

#[test]
fn a_peer_whose_messages_panic_is_refused_until_that_is_lifted() {
    let policy = Quarantine::after(2, Duration::from_secs(3_600));
    let config = FlowConfig::new(10).with_panic_policy(PanicPolicy::Quarantine(policy));
    let flow = flow(config, |_, panics: bool| assert!(!panics, "on purpose"));
    for _ in 0..2 {
        block_on(flow.execute(peer(1), true)).unwrap();
        at_rest(&flow);
    }
    let refused = brought(flow.execute(peer(1), false)).unwrap_err();
    assert_eq!(refused.reason, RefusalReason::Quarantined);
    block_on(flow.execute(peer(2), false)).unwrap();
    assert!(flow.lift_quarantine(peer(1)) && !flow.lift_quarantine(peer(1)));
    block_on(flow.execute(peer(1), false)).unwrap();
    let counts = at_rest(&flow);
    assert_eq!(
        (counts.panicked(), counts.handled(), counts.count(Outcome::Quarantined)),
        (2, 2, 1)
    );
}

/// A handler that panics on 0, and whose hook shuts the flow down.
struct Fails {
    #[expect(clippy::disallowed_types, reason = "a test's own")]
    flow: std::sync::Mutex<Option<std::sync::Weak<FlowWorker<u32, Fails>>>>,
    go: crossbeam::channel::Receiver<()>,
    reports: Sender<FlowReport>,
}

impl MessageHandler<u32> for Fails {
    fn handle(&self, _: NodeId, message: u32) {
        self.go.recv_timeout(LIMIT).unwrap();
        assert!(message > 0, "on purpose");
    }

    fn failed(&self, _: NodeId) {
        let flow = self.flow.lock().unwrap().clone().unwrap().upgrade().unwrap();
        self.reports.send(flow.shutdown(LIMIT)).unwrap();
        panic!("this too");
    }
}

#[test]
fn a_flow_that_fails_by_a_panic_calls_its_hook_once_which_may_shut_it_down() {
    let (go, gone) = crossbeam::channel::unbounded();
    let (sender, reports) = channel();
    let fails = Fails { flow: Default::default(), go: gone, reports: sender };
    let config = FlowConfig::new(10).with_threads(1).with_panic_policy(PanicPolicy::FailFast);
    let flow = FlowWorker::new(FlowType::Request, &config, &MetricsRegistry::new(), fails);
    let flow = Arc::new(flow.unwrap());
    flow.inner.with_handler(|handler| {
        *handler.0.flow.lock().unwrap() = Some(Arc::downgrade(&flow));
    });
    block_on(flow.execute(peer(1), 0)).unwrap();
    block_on(flow.execute(peer(1), 1)).unwrap();
    go.send(()).unwrap();
    let report = reports.recv_timeout(LIMIT / 2).expect("it does not wait for itself");
    assert_eq!((report.dropped, report.running), (1, 1));
    let refused = block_on(flow.execute(peer(1), 2)).unwrap_err();
    assert_eq!(refused.reason, RefusalReason::Closed);
    assert_eq!(at_rest(&flow).panicked(), 1);
    assert!(reports.try_recv().is_err(), "once");
}
