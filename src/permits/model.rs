//! What loom explores: an attempt to enter while others enter and leave.

use std::sync::Arc;

use loom::thread;

use super::*;

#[test]
fn who_comes_while_others_come_and_go_finds_the_room_that_there_is() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let bound = Arc::new((Permits::new(2), AtomicU64::new(0)));
        let visit = |(permits, left): &(Permits, AtomicU64)| {
            let entered = permits.enter_past(|| left.load(Ordering::Acquire));
            assert_eq!(entered, Attempt::Entered, "there is room for two, and there are two");
            left.fetch_add(1, Ordering::Release);
        };
        let other = {
            let bound = Arc::clone(&bound);
            thread::spawn(move || (0..3).for_each(|_| visit(&bound)))
        };
        visit(&bound);
        other.join().unwrap();
    });
}
