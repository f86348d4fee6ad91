//! Everything at once, and every message once.

use super::*;

#[test]
fn every_message_of_every_producer_runs_exactly_once_whatever_is_cancelled() {
    const EACH: usize = 5_000;
    let (sender, receiver) = channel();
    let flow = flow(FlowConfig::new(7), move |_, message: usize| sender.send(message).unwrap());
    thread::scope(|scope| {
        for producer in 0..4 {
            let flow = &flow;
            scope.spawn(move || {
                for message in 0..EACH {
                    let mut execute = flow.execute(peer(0), producer * EACH + message);
                    // Those whose future is dropped here may have been admitted since.
                    if (&mut execute).now_or_never().is_none() && message % 3 > 0 {
                        block_on(execute).unwrap();
                    }
                }
            });
        }
    });
    assert!(flow.shutdown(LIMIT).is_clean());
    let counts = flow.snapshot();
    drop(flow);
    let ran: Vec<usize> = receiver.into_iter().collect();
    let distinct: BTreeSet<usize> = ran.iter().copied().collect();
    assert_eq!(distinct.len(), ran.len(), "a message ran twice");
    assert_eq!((counts.handled(), counts.admitted), (ran.len() as u64, ran.len() as u64));
    assert_eq!(counts.handled() + counts.count(Outcome::WaitCancelled), 4 * EACH as u64);
    assert_eq!((counts.in_flight, counts.waiting), (0, 0));
}

/// Everything at once, briefly: submitters of the same peers and of others, futures that are dropped,
/// handlers that panic, peers that go, and a shutdown in the middle.
#[test]
fn whatever_happens_each_message_comes_to_one_end() {
    (0..rounds(60)).for_each(stress);
}

fn stress(round: usize) {
    const EACH: usize = 60;
    const PRODUCERS: usize = 3;
    let strategy = STRATEGIES[round % STRATEGIES.len()];
    let config = FlowConfig::new(1 + round % 7)
        .with_peer_quota(1 + round % 3)
        .with_max_peers(1 + round % 5)
        .with_threads(1 + round % 3)
        .with_peer_threads(1 + round % 2)
        .with_forking_handlers(round.is_multiple_of(4))
        .with_wait_strategy(strategy);
    let (sender, receiver) = channel();
    let handler = move |_: &NodeId, message: usize| {
        sender.send(message).unwrap();
        if message.is_multiple_of(13) {
            // Without the noise.
            std::panic::resume_unwind(Box::new("on purpose"));
        }
    };
    let flow = FlowWorker::new(FlowType::Advert, &config, &MetricsRegistry::new(), handler);
    let flow = flow.unwrap();
    let (mut admitted, mut refused) = (0, 0);
    let report = thread::scope(|scope| {
        let produce = |producer: usize| {
            let flow = &flow;
            move || {
                let (mut known, mut refused) = (0, 0);
                let mut remembered = RememberedLane::default();
                for number in 0..EACH {
                    let message = producer * EACH + number;
                    // Twice in a row, so that one producer remembers the lane.
                    let from = peer((message / 2 % 4) as u8);
                    let mut execute = if producer == 0 {
                        flow.execute_from(&from, message, 1, &mut remembered)
                    } else {
                        flow.execute(from, message)
                    };
                    match (&mut execute).now_or_never() {
                        None if message.is_multiple_of(3) => continue,
                        None => match block_on(execute) {
                            Ok(_) => known += 1,
                            Err(_) => refused += 1,
                        },
                        Some(Ok(_)) => known += 1,
                        Some(Err(_)) => refused += 1,
                    }
                    if message.is_multiple_of(7) {
                        flow.cancel_peer(from);
                    }
                }
                (known, refused)
            }
        };
        let producers: Vec<_> = (0..PRODUCERS).map(|number| scope.spawn(produce(number))).collect();
        let report = round.is_multiple_of(5).then(|| flow.shutdown(LIMIT));
        for producer in producers {
            let (known, not) = producer.join().unwrap();
            admitted += known;
            refused += not;
        }
        report
    });
    let report = report.unwrap_or_else(|| flow.shutdown(LIMIT));
    assert!(report.joined && report.running == 0, "round {round}: {report:?}");
    let counts = flow.snapshot();
    drop(flow);
    let ran: Vec<usize> = receiver.into_iter().collect();
    let distinct: BTreeSet<usize> = ran.iter().copied().collect();
    assert_eq!(distinct.len(), ran.len(), "round {round}: a message ran twice");
    assert_eq!((counts.in_flight, counts.waiting), (0, 0), "round {round}");
    assert_eq!(counts.admitted, counts.finished(), "round {round}");
    assert_eq!(counts.handled() + counts.panicked(), ran.len() as u64, "round {round}");
    let all = counts.admitted + counts.refused() + counts.count(Outcome::WaitCancelled);
    assert_eq!(all, (PRODUCERS * EACH) as u64, "round {round}");
    assert!(counts.admitted >= admitted && counts.refused() >= refused, "round {round}");
}
