//! Whatever is done at the door, in whichever order.

use proptest::prelude::*;

use super::*;

/// What a test does at a door of three lanes.
#[derive(Clone, Copy, Debug)]
enum Step {
    Submit(usize),
    /// The oldest of those that run in this lane.
    Finish(usize),
    /// The waiter with this index, of those of all lanes that have not ended.
    Leave(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0_usize..3).prop_map(Step::Submit),
        6 => (0_usize..3).prop_map(Step::Finish),
        4 => any::<usize>().prop_map(Step::Leave),
    ];
    proptest::collection::vec(step, 0..400)
}

proptest! {
    /// Room and a waiter that could use it never rest together; within a lane whoever came first and
    /// has not left is served first; nobody is woken twice; in the end all are told.
    #[test]
    fn who_waits_is_let_in_when_there_is_room(
        quota in 1_usize..4,
        limit in 1_usize..7,
        steps in steps(),
    ) {
        let quota = quota.min(limit);
        let bench = Bench::new(3, quota, limit, 1_000);
        let mut running = [0; 3];
        let mut line: Vec<(usize, u32, Waiting)> = Vec::new();
        let mut taken = 0;
        for (message, step) in (0..).zip(steps) {
            match step {
                Step::Submit(lane) => match bench.enter(lane) {
                    Entry::Admitted => {
                        prop_assert!(line.iter().all(|(other, ..)| *other != lane));
                        running[lane] += 1;
                    }
                    Entry::Full => line.push((lane, message, bench.join(lane, message))),
                    Entry::Closed | Entry::Retired => unreachable!(),
                },
                Step::Finish(lane) if running[lane] > 0 => {
                    running[lane] -= 1;
                    bench.finish(lane);
                }
                Step::Leave(index) if !line.is_empty() => {
                    let (lane, message, leaver) = line.remove(index % line.len());
                    prop_assert_eq!(bench.leave(lane, &leaver), Some(message));
                }
                Step::Finish(_) | Step::Leave(_) => {}
            }
            for message in &bench.admitted()[taken..] {
                let place = line.iter().position(|(_, waiting, _)| waiting == message).unwrap();
                let (lane, _, served) = line.remove(place);
                prop_assert!(line[..place].iter().all(|(other, ..)| *other != lane));
                prop_assert_eq!(served.standing(), Standing::Granted);
                prop_assert_eq!(served.wakes.count(), 1);
                running[lane] += 1;
                taken += 1;
            }
            let in_flight: usize = running.iter().sum();
            prop_assert!(in_flight <= limit && running.iter().all(|&count| count <= quota));
            for (lane, _, waiting) in &line {
                prop_assert!(in_flight == limit || running[*lane] == quota);
                prop_assert_eq!(waiting.wakes.count(), 0);
            }
            prop_assert_eq!((bench.in_flight(), bench.waiting()), (in_flight, line.len()));
        }
        bench.close();
        for (_, message, waiting) in line {
            prop_assert_eq!((waiting.standing(), waiting.wakes.count()), (Standing::Refused(RefusalReason::Closed), 1));
            prop_assert_eq!(waiting.place.take_message(), message);
        }
        prop_assert_eq!(bench.waiting(), 0);
    }
}
