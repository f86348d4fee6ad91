use std::{sync::Arc, thread};

use super::*;

#[test]
fn each_sleeper_is_called_once_and_in_any_order() {
    const WORKERS: usize = 3;
    let parking = Arc::new(Parking::new(WORKERS));
    assert!(!parking.call_one());
    let sleepers: Vec<_> = (0..WORKERS)
        .map(|worker| {
            let parking = Arc::clone(&parking);
            thread::spawn(move || {
                parking.lie_down(worker);
                parking.sleep(worker)
            })
        })
        .collect();
    let mut called = 0;
    while called < WORKERS - 1 {
        called += usize::from(parking.call_one());
        thread::yield_now();
    }
    while !sleepers.iter().all(thread::JoinHandle::is_finished) {
        parking.call_all_to_leave();
        thread::yield_now();
    }
    let calls: Vec<_> = sleepers.into_iter().map(|sleeper| sleeper.join().unwrap()).collect();
    assert_eq!(calls.iter().filter(|&&call| call == Call::Go).count(), WORKERS - 1);
    assert!(!parking.call_one());
}

#[test]
fn who_gets_up_by_itself_is_called_no_more_and_who_was_called_knows() {
    let parking = Parking::new(1);
    parking.lie_down(0);
    assert_eq!(parking.get_up(0), None);
    assert!(!parking.call_one());
    parking.lie_down(0);
    assert!(parking.call_one());
    assert_eq!(parking.get_up(0), Some(Call::Go));
    parking.lie_down(0);
    parking.call_all_to_leave();
    assert_eq!(parking.get_up(0), Some(Call::Leave));
}

#[test]
fn a_sleeper_is_found_though_another_was_stopped_while_it_lay_down() {
    let parking = Parking::new(200);
    // The first of its word, so that nobody else sets the bit above.
    parking.sleepers.insert_halfway(64);
    parking.lie_down(65);
    assert!(parking.is_used());
    assert!(parking.call_one() && parking.call_one() && !parking.call_one());
    assert_eq!(parking.get_up(65), Some(Call::Go));
}
