use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering::SeqCst},
    mpsc,
};

use super::*;

const SHORT: Duration = Duration::from_millis(4);
const GENEROUS: Duration = Duration::from_secs(60);

#[tokio::test]
async fn one_that_is_not_alive_is_not_said_to_be() {
    let (looks, words) = (Arc::new(AtomicUsize::new(0)), AtomicUsize::new(0));
    let counted = looks.clone();
    // From the fourth look on.
    let look = move || counted.fetch_add(1, SeqCst) >= 3;
    let watching = watch(SHORT, look, async || {
        assert!(looks.load(SeqCst) > 3, "it was not alive");
        words.fetch_add(1, SeqCst);
    });
    let said = async {
        while words.load(SeqCst) < 3 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = watching => {}
        said = tokio::time::timeout(GENEROUS, said) => said.expect("it is said again and again"),
    }
}

#[tokio::test]
async fn one_that_does_not_answer_is_not_said_to_be_alive() {
    let (answer, answers) = mpsc::channel::<()>();
    let answers = Arc::new(Mutex::new(answers));
    let (looks, words) = (Arc::new(AtomicUsize::new(0)), AtomicUsize::new(0));
    let counted = looks.clone();
    // Each look waits until there is an answer to all.
    let look = move || {
        counted.fetch_add(1, SeqCst);
        answers.lock().unwrap().recv().is_err()
    };
    let watching = watch(SHORT, look, async || {
        words.fetch_add(1, SeqCst);
    });
    let said = async {
        while looks.load(SeqCst) < 3 {
            tokio::task::yield_now().await;
        }
        assert_eq!(words.load(SeqCst), 0);
        drop(answer);
        while words.load(SeqCst) < 3 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = watching => {}
        said = tokio::time::timeout(GENEROUS, said) => said.expect("it is said once it answers"),
    }
}
