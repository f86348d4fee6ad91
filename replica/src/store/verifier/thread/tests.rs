use super::*;

#[test]
fn after_a_panic_it_goes_on_and_the_end_is_not_clean() {
    let (called, calls) = mpsc::channel();
    let verifying = Verifying::start(move |shared| {
        let mut made = 0;
        repeat(shared, Duration::from_millis(1), || {
            made += 1;
            let (number, called) = (made, called.clone());
            move || {
                called.send(number).unwrap();
                assert!(number > 2, "a fault of the verification");
                Duration::from_secs(3600)
            }
        });
    });
    let verifying = verifying.unwrap();
    let next = || calls.recv_timeout(Duration::from_secs(60)).expect("it goes on");
    assert_eq!([next(), next(), next()], [1, 2, 3]);
    assert_eq!(verifying.panics(), 2);
    // Although its next step is an hour away.
    assert!(!verifying.stop(Duration::from_secs(60)), "not clean");
    assert!(calls.recv().is_err(), "it has ended");
}

#[test]
fn an_end_that_does_not_come_is_not_waited_for() {
    let (release, held) = mpsc::channel::<()>();
    let verifying = Verifying::start(move |_| _ = held.recv()).unwrap();
    assert!(!verifying.stop(Duration::from_millis(1)));
    drop(release);
}
