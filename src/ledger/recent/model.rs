//! A reader beside the worker, in every interleaving.

use std::sync::Arc;

use super::*;

fn taken(number: u64) -> Taken {
    Taken { lane: number, when: number }
}

#[test]
fn a_reader_finds_whole_messages_only_in_their_order_and_the_last_ones_at_rest() {
    loom::model(|| {
        const MESSAGES: u64 = RECENT as u64 + 2;
        let recent = Arc::new(Recent::default());
        let worker = {
            let recent = Arc::clone(&recent);
            loom::thread::spawn(move || {
                (1..=MESSAGES)
                    .for_each(|number| recent.record(taken(number), number as usize, 0, None));
            })
        };
        let check = |entries: Vec<Entry>| {
            for entry in &entries {
                assert_eq!((entry.lane, entry.wait), (entry.when, entry.when), "torn");
            }
            assert!(entries.is_sorted_by(|a, b| a.when + 1 == b.when), "{entries:?}");
            entries.len()
        };
        check(recent.read());
        worker.join().unwrap();
        let last = recent.read();
        assert_eq!(last.last().map(|entry| entry.when), Some(MESSAGES));
        assert_eq!(check(last), RECENT - 1);
    });
}
