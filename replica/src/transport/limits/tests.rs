//! The budget of the windows holds.

use super::{
    MAX_STREAM_WINDOW, MIN_STREAM_WINDOW, UNSERVED_RECEIVE_WINDOW, WINDOW_BUDGET, Windows,
};

#[test]
fn windows_of_all_peers_stay_within_the_budget() {
    for peers in 0..=1365 {
        let Windows { stream, receive, send } = Windows::of(peers);
        assert!((MIN_STREAM_WINDOW..=MAX_STREAM_WINDOW).contains(&stream));
        assert_eq!((receive, send), (4 * stream, 2 * stream));
        assert!(u64::from(receive + send) * peers as u64 <= WINDOW_BUDGET, "{peers}");
        assert!(receive >= UNSERVED_RECEIVE_WINDOW);
    }
    assert_eq!(Windows::of(21).stream, MAX_STREAM_WINDOW);
    assert!(Windows::of(22).stream < MAX_STREAM_WINDOW);
    assert_eq!(Windows::of(usize::MAX).stream, MIN_STREAM_WINDOW);
}
