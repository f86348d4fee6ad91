//! What loom explores: a word that is emptied while a lane is put into it.

use std::sync::Arc;

use loom::thread;

use super::*;

#[test]
fn a_lane_that_is_put_into_a_word_being_emptied_is_found() {
    loom::model(|| {
        let set = Arc::new(LaneSet::new(2));
        set.insert(0);
        let other = {
            let set = Arc::clone(&set);
            thread::spawn(move || set.insert(1))
        };
        assert!(set.remove(0));
        other.join().unwrap();
        assert_eq!(set.next(0), Some(1));
        assert!(set.words[0].load(Ordering::Relaxed) == 1, "the word is hidden");
    });
}

#[test]
fn two_that_empty_a_word_hide_no_third() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let set = Arc::new(LaneSet::new(2));
        set.insert(0);
        let others = [0, 1].map(|seat| {
            let set = Arc::clone(&set);
            thread::spawn(move || {
                set.insert(seat);
                set.remove(seat)
            })
        });
        set.remove(0);
        set.insert(0);
        for other in others {
            other.join().unwrap();
        }
        let full = set.lanes[0].load(Ordering::Relaxed) != 0;
        let shown = set.words[0].load(Ordering::Relaxed) != 0;
        assert!(shown || !full, "the word is hidden");
    });
}
