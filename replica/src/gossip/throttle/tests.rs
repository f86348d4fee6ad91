use std::{
    sync::mpsc::{RecvTimeoutError, channel},
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
    let throttle = per_second(1);
    throttle.wait(1_000_000);
    let (done, ends) = channel();
    thread::scope(|scope| {
        for _ in 0..3 {
            let done = done.clone();
            scope.spawn(|| {
                throttle.wait(1_000_000);
                done.send(()).unwrap();
                drop(done);
            });
        }
        let early = ends.recv_timeout(Duration::from_millis(20));
        throttle.lift();
        assert_eq!(early, Err(RecvTimeoutError::Timeout));
        for _ in 0..3 {
            ends.recv_timeout(PATIENCE).expect("they go on");
        }
        // And nobody waits afterwards.
        throttle.wait(usize::MAX >> 16);
        throttle.wait(1);
    });
}
