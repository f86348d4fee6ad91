use std::{
    sync::{
        Arc,
        mpsc::{RecvTimeoutError, channel},
    },
    thread,
};

use super::*;

const PATIENCE: Duration = Duration::from_secs(60);

fn per_second(bytes: u64) -> Throttle {
    Throttle::new(NonZeroU64::new(bytes).unwrap())
}

#[test]
fn the_first_goes_at_once_and_each_takes_its_time() {
    let throttle = per_second(1_000_000);
    let began = Instant::now();
    for _ in 0..5 {
        throttle.wait(20_000);
    }
    assert!(began.elapsed() >= Duration::from_millis(80), "{:?}", began.elapsed());
}

#[test]
fn lifted_it_holds_up_nobody() {
    let throttle = Arc::new(per_second(1));
    throttle.wait(1_000_000);
    let (done, ends) = channel();
    let wait_on_a_thread = || {
        let (throttle, done) = (throttle.clone(), done.clone());
        thread::spawn(move || {
            throttle.wait(1_000_000);
            done.send(()).unwrap();
        });
    };
    (0..3).for_each(|_| wait_on_a_thread());
    assert_eq!(ends.recv_timeout(Duration::from_millis(20)), Err(RecvTimeoutError::Timeout));
    throttle.lift();
    // Nor does it hold up those that come later.
    (0..3).for_each(|_| wait_on_a_thread());
    for _ in 0..6 {
        ends.recv_timeout(PATIENCE).expect("they go on");
    }
}
