//! What is seen from outside.

use super::*;

#[test]
fn gauges_tell_how_the_flow_stands() {
    let config = FlowConfig::new(10).with_peer_quota(10).with_max_age(Some(LIMIT));
    let (flow, starts, leave) = busy(config);
    (1..4).for_each(|message| _ = at_once(flow.execute(peer(1), message)).unwrap());
    let counts = flow.snapshot();
    assert_eq!((counts.in_flight, counts.queued, counts.live_workers), (4, 3, 1));
    assert_eq!((counts.max_in_flight, counts.peer_quota, counts.threads), (10, 10, 1));
    assert_eq!((counts.max_bytes, counts.peers, counts.max_waiters), (None, 1, 64));
    assert_eq!((counts.overload, counts.high_water), (40, 4));
    assert!(counts.oldest_age > Duration::ZERO);
    (0..4).for_each(|_| leave.send(()).unwrap());
    let counts = at_rest(&flow);
    assert_eq!((counts.overload, counts.oldest_age), (0, Duration::ZERO));
    assert!(counts.high_water <= 4, "{}", counts.high_water);
    assert_eq!(starts.try_iter().count(), 3);
    assert!(flow.shutdown(LIMIT).is_clean());
    wait_until("the end of the threads", || flow.snapshot().live_workers == 0);
}

#[test]
fn limits_that_are_changed_are_shown() {
    let (flow, _starts, leave) = busy(FlowConfig::new(10).with_peer_quota(10));
    let wider = FlowConfig::new(20).with_peer_quota(15).with_max_bytes(Some(1 << 20));
    flow.reconfigure(&wider.with_threads(1)).unwrap();
    let counts = flow.snapshot();
    assert_eq!((counts.max_in_flight, counts.peer_quota), (20, 15));
    assert_eq!((counts.max_bytes, counts.max_peers), (Some(1 << 20), wider.max_peers()));
    leave.send(()).unwrap();
    at_rest(&flow);
}

#[test]
fn a_watch_sees_what_is_in_flight_between_two_snapshots() {
    let (flow, _starts, leave) = busy(FlowConfig::new(10).with_peer_quota(10));
    (1..4).for_each(|message| _ = at_once(flow.execute(peer(1), message)).unwrap());
    flow.look(LIMIT, &mut Reported::default());
    (0..4).for_each(|_| leave.send(()).unwrap());
    wait_until("all have run", || flow.inner.queue.in_flight() == 0);
    // It halves each minute.
    assert!(flow.snapshot().high_water > 1);
}

#[test]
fn a_stuck_handler_is_reported_once_and_the_next_one_again() {
    let (flow, starts, leave) = busy(FlowConfig::new(10).with_peer_quota(10));
    let mut reported = Reported::default();
    let mut look = || {
        flow.look(Duration::ZERO, &mut reported);
        flow.snapshot().stuck
    };
    assert_eq!([look(), look()], [1, 1]);
    at_once(flow.execute(peer(1), 1)).unwrap();
    leave.send(()).unwrap();
    assert_eq!(starts.recv_timeout(LIMIT), Ok(1));
    assert_eq!([look(), look()], [2, 2]);
    leave.send(()).unwrap();
    at_rest(&flow);
    assert_eq!(look(), 2);
}

/// What is logged meanwhile on this thread.
fn logged(during: impl FnOnce()) -> String {
    #[derive(Clone, Default)]
    struct Lines(Arc<crate::sync::Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false);
    tracing::subscriber::with_default(subscriber.finish(), during);
    let bytes = lines.0.lock().clone();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn the_log_of_a_stuck_handler_shows_what_its_thread_ran_before() {
    let (flow, starts, leave) = busy(FlowConfig::new(100).with_peer_quota(100));
    let mut reported = Reported::default();
    let mut look = || logged(|| flow.look(Duration::ZERO, &mut reported));
    let first = look();
    assert!(first.contains(&format!("peer={}", peer(1))), "{first}");
    assert!(first.contains("before=nothing"), "{first}");
    assert_eq!(look(), "", "it is logged once");

    // One turn more than the log shows: the first of all, of the first peer.
    for from in [9, 8, 7, 6, 5, 4, 3, 2, 2, 2, 1] {
        at_once(flow.execute(peer(from), from.into())).unwrap();
        leave.send(()).unwrap();
        assert_eq!(starts.recv_timeout(LIMIT), Ok(from.into()));
    }
    flow.cancel_peer(peer(3));
    let line = look();
    let (_, before) = line.split_once("before=").unwrap_or_else(|| panic!("{line}"));
    let turns: Vec<&str> = before.trim_end().split("; ").collect();
    assert_eq!(turns.len(), 8, "{line}");
    let counts = |from| before.matches(&format!("of {} handled, waited ", peer(from))).count();
    assert_eq!([1, 3, 9].map(counts), [0, 0, 1], "{line}");
    assert!(turns[0].contains(&format!("ago 3 of {} handled", peer(2))), "{line}");
    assert!(turns[0].contains(", the longest "), "{line}");
    assert_eq!(before.matches("ago 1 of a peer that has gone handled").count(), 1, "{line}");
    leave.send(()).unwrap();
    at_rest(&flow);
}

#[test]
fn what_a_thread_has_taken_is_read_with_its_peer_and_outcome() {
    let config = FlowConfig::new(100).with_peer_quota(100).with_threads(1);
    let (sender, slots) = channel();
    let flow = flow(config, move |_, message: u32| match message {
        1 => sender.send(Slot::take().unwrap()).unwrap(),
        2 => panic!("on purpose"),
        _ => {}
    });
    for (from, message) in [(1, 1), (2, 2), (3, 3)] {
        at_once(flow.execute(peer(from), message)).unwrap();
        wait_until("its end", || flow.recent().len() == message as usize);
    }
    drop(slots.recv_timeout(LIMIT).unwrap());
    at_rest(&flow);
    flow.reconfigure(&config.with_max_age(Some(Duration::from_nanos(1)))).unwrap();
    // Sooner or later one is too old when it is taken.
    wait_until("an expiry", || {
        at_once(flow.execute(peer(3), 4)).unwrap();
        at_rest(&flow).count(Outcome::Expired) > 0
    });
    let recent = flow.recent();
    let found = recent[..3].iter().map(|entry| (entry.peer, entry.outcome)).collect::<Vec<_>>();
    let expected = [
        (Some(peer(1)), None),
        (Some(peer(2)), Some(Outcome::Panicked)),
        (Some(peer(3)), Some(Outcome::Handled)),
    ];
    assert_eq!(found, expected);
    let last = recent.last().unwrap();
    assert_eq!((last.outcome, last.service), (Some(Outcome::Expired), Duration::ZERO));
    assert!(last.wait > Duration::ZERO && last.thread == 0);
    assert!(recent.is_sorted_by(|a, b| a.age >= b.age), "the oldest first");
    flow.cancel_peer(peer(2));
    assert_eq!(flow.recent()[1].peer, None);
}

#[test]
fn messages_of_a_batch_are_recorded_each_with_its_peer() {
    let (started, starts) = channel();
    let (leave, leaves) = crossbeam::channel::unbounded::<()>();
    struct Batches(Sender<usize>, crossbeam::channel::Receiver<()>);
    impl MessageHandler<u32> for Batches {
        fn handle(&self, _: &NodeId, _: u32) {
            self.0.send(1).unwrap();
            self.1.recv_timeout(LIMIT).unwrap();
        }

        fn max_batch(&self) -> usize {
            16
        }

        fn handle_many(&self, messages: Vec<Received<u32>>) {
            self.0.send(messages.len()).unwrap();
            self.1.recv_timeout(LIMIT).unwrap();
        }
    }
    let flow = {
        let config = FlowConfig::new(100).with_peer_quota(100).with_threads(1);
        let handler = Batches(started, leaves);
        FlowWorker::new(FlowType::Request, &config, &MetricsRegistry::new(), handler).unwrap()
    };
    at_once(flow.execute(peer(1), 0)).unwrap();
    assert_eq!(starts.recv_timeout(LIMIT), Ok(1));
    for from in [2, 3, 3] {
        at_once(flow.execute(peer(from), 1)).unwrap();
    }
    (0..3).for_each(|_| leave.send(()).unwrap());
    at_rest(&flow);
    // One of each peer, and then the other: a lane has one turn in a batch.
    assert_eq!(starts.try_iter().collect::<Vec<_>>(), [2, 1]);
    let recent = flow.recent();
    assert_eq!((recent[1].age, recent[1].service), (recent[2].age, recent[2].service));
    let mut peers: Vec<_> = recent.iter().map(|entry| entry.peer.unwrap()).collect();
    peers.sort();
    assert_eq!(peers, [1, 2, 3, 3].map(peer));
}
