use std::sync::mpsc;

use super::*;

const GENEROUS: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(1);

#[tokio::test]
async fn work_that_does_not_end_is_given_up_and_other_work_goes_on() {
    let patience = Patience::default();
    let mut ends = Vec::new();
    for given_up in 1..=MAX_GIVEN_UP {
        let (end, ended) = mpsc::channel::<()>();
        ends.push(end);
        assert_eq!(patience.run(SHORT, move || ended.recv().is_ok()).await, None);
        assert_eq!(patience.under_way(), given_up);
        if given_up < MAX_GIVEN_UP {
            assert_eq!(patience.run(GENEROUS, || 7).await, Some(7));
        }
    }
    assert_eq!(patience.run(GENEROUS, || 7).await, None, "too much has not ended");
    drop(ends);
    let all_ended = async {
        while patience.under_way() > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(GENEROUS, all_ended).await.expect("the work ends");
    assert_eq!(patience.run(GENEROUS, || 7).await, Some(7));
}
