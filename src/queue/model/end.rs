//! The queue closes: one of those who let go of it last sees that it is over.

use super::*;

#[test]
fn the_last_to_finish_or_to_close_sees_that_the_queue_is_over() {
    explore(5, || {
        let queue = queue(WIDE);
        let lane = lane_of(&queue, 1);
        let mut worker = serving(&queue, &lane);
        let closer = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                queue.close(&mut WakeList::default());
                queue.is_over()
            })
        };
        end(&queue, &mut worker);
        let seen = queue.is_over();
        assert!(closer.join().unwrap() || seen, "nobody has seen it");
    });
}

#[test]
fn the_last_to_discard_or_to_close_sees_that_the_queue_is_over() {
    explore(5, || {
        let queue = queue(WIDE);
        let lane = lane_of(&queue, 1);
        submit(&queue, &lane, 0).unwrap();
        let item = queue.evict(&lane, &mut WakeList::default()).expect("it is queued");
        let closer = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                queue.close(&mut WakeList::default());
                queue.is_over()
            })
        };
        discard(&queue, &lane, &[item]);
        let seen = queue.is_over();
        assert!(closer.join().unwrap() || seen, "nobody has seen it");
    });
}

#[test]
fn nothing_enters_a_queue_that_is_over() {
    explore(5, || {
        let queue = queue(WIDE);
        let lane = lane_of(&queue, 1);
        let submitter = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || submit(&queue, &lane, 1))
        };
        queue.close(&mut WakeList::default());
        let is_over = queue.is_over();
        let submitted = submitter.join().unwrap();
        assert!(submitted.is_ok() != is_over, "{submitted:?}, over: {is_over}");
    });
}
