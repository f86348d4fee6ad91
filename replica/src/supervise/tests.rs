use super::*;

#[test]
fn a_thread_that_panics_goes_on_after_longer_and_longer_pauses() {
    let failures = Failures::default();
    let (mut waited, mut runs) = (Vec::new(), 0);
    let wait = |pause: Duration| {
        waited.push(pause.as_secs());
        true
    };
    let result = keep_running("test", &failures, wait, || {
        runs += 1;
        assert!(runs > 9, "on purpose");
        runs
    });
    assert_eq!(result, Some(10));
    assert_eq!(waited, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    assert_eq!(failures.count(), 9);
}

#[test]
fn a_thread_that_is_to_stop_does_not_go_on() {
    let failures = Failures::default();
    let mut runs = 0;
    let result = keep_running(
        "test",
        &failures,
        |_| false,
        || {
            runs += 1;
            panic!("on purpose")
        },
    );
    assert_eq!((result, runs, failures.count()), (None::<()>, 1, 1));
}

#[tokio::test]
async fn a_task_that_panics_is_made_again() {
    let failures = Failures::default();
    let mut made = 0;
    let result = keep_polling("test", &failures, || {
        made += 1;
        let number = made;
        async move {
            tokio::task::yield_now().await;
            assert!(number > 1, "on purpose");
            number
        }
    });
    assert_eq!(result.await, 2);
    assert_eq!(failures.count(), 1);
}
