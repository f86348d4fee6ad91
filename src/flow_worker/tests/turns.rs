//! Turns in time: a peer with dear messages and one with cheap ones.

use super::*;

const CHEAP: NodeId = NodeId::new([1; 32]);
const DEAR: NodeId = NodeId::new([2; 32]);
const CHEAP_NANOS: u64 = 10_000;
const DEAR_NANOS: u64 = 1_000_000;

/// Messages of the dear peer. A hundred cheap ones take as long as one of them.
const DEAR_MESSAGES: u64 = 60;

/// What one peer's handlers have done, in nanoseconds.
#[derive(Default)]
struct Ran {
    messages: AtomicU64,
    nanos: AtomicU64,
}

/// What share of the thread's time the cheap peer has, in hundredths, as long as both peers have messages. Times are
/// from the end of one handler to the end of the next, so that a machine that holds some of them up changes little.
fn share_of_the_cheap(weight: u32, held_up: Duration) -> u64 {
    let cheap_messages = 2 * u64::from(weight) * DEAR_MESSAGES * DEAR_NANOS / CHEAP_NANOS;
    let (go, gone) = crossbeam::channel::bounded::<()>(1);
    let ran: Arc<[Ran; 2]> = Arc::default();
    let in_handler = Arc::clone(&ran);
    let (epoch, last) = (Instant::now(), AtomicU64::new(0));
    let now = move || epoch.elapsed().as_nanos() as u64;
    let handler = move |from: &NodeId, (): ()| {
        let [cheap, dear] = &*in_handler;
        let (of_peer, nanos) = match *from {
            CHEAP => (cheap, CHEAP_NANOS),
            DEAR => (dear, DEAR_NANOS),
            _ => {
                gone.recv_timeout(LIMIT).expect("the test gives leave");
                thread::sleep(held_up);
                last.store(now(), Ordering::Relaxed);
                return;
            }
        };
        let until = now() + nanos;
        while now() < until {
            std::hint::spin_loop();
        }
        let ended = now();
        let took = ended - last.swap(ended, Ordering::Relaxed);
        let left = |of_peer: &Ran, all| of_peer.messages.load(Ordering::Relaxed) < all;
        if left(cheap, cheap_messages) && left(dear, DEAR_MESSAGES) {
            of_peer.messages.fetch_add(1, Ordering::Relaxed);
            of_peer.nanos.fetch_add(took, Ordering::Relaxed);
        }
    };
    let flow = flow(FlowConfig::new(1 << 17).with_threads(1), handler);
    assert!(flow.set_peer_weight(CHEAP, weight));
    // Holds the only thread until all have their messages queued.
    at_once(flow.execute(peer(3), ())).unwrap();
    (0..DEAR_MESSAGES).for_each(|_| _ = at_once(flow.execute(DEAR, ())).unwrap());
    (0..cheap_messages).for_each(|_| _ = at_once(flow.execute(CHEAP, ())).unwrap());
    go.send(()).unwrap();
    assert!(flow.shutdown(LIMIT).is_clean());
    let [cheap, dear] = [0, 1].map(|of_peer| ran[of_peer].nanos.load(Ordering::Relaxed));
    100 * cheap / (cheap + dear)
}

/// How often a share is taken at the most: a machine that holds the thread up for long distorts one of them.
const TRIES: usize = 20;

fn assert_share(weight: u32, held_up: Duration, expected: std::ops::RangeInclusive<u64>) {
    let mut shares = Vec::new();
    for _ in 0..TRIES {
        let share = share_of_the_cheap(weight, held_up);
        if expected.contains(&share) {
            return;
        }
        shares.push(share);
    }
    panic!("none of {shares:?} % is in {expected:?}");
}

#[test]
fn a_peer_with_cheap_messages_has_as_much_time_as_one_with_dear_ones() {
    assert_share(1, Duration::ZERO, 40..=60);
}

#[test]
fn a_peer_of_three_times_the_weight_has_three_times_the_time() {
    assert_share(3, Duration::ZERO, 65..=85);
}

#[test]
fn a_long_handler_of_a_third_peer_changes_no_shares() {
    // Longer than all of the dear messages take.
    assert_share(1, 5 * Duration::from_nanos(DEAR_MESSAGES * DEAR_NANOS), 40..=60);
}
