use super::*;

#[test]
fn one_line_passes_in_each_window_and_says_how_many_did_not() {
    let limit = LogLimit::new();
    let at = |millis| limit.permit_at(Duration::from_millis(millis));
    assert_eq!(at(0), Some(0));
    assert_eq!((at(1), at(999)), (None, None));
    assert_eq!(at(1_000), Some(2));
    assert_eq!(at(1_999), None);
    assert_eq!(at(60_000), Some(1));
}
