//! Twice as many votes as can be handled, in the simulation's time: whose last vote is lost, under each policy?
//! (`benches/latest` has the ages on a real machine.)

use std::{cell::RefCell, collections::BTreeMap, iter::Peekable, rc::Rc, time::Duration, vec};

use futures_util::FutureExt;

use super::{
    super::{
        clock,
        threads::{Running, run_one},
    },
    overload::{EACH, SERVICE, arrivals, now},
};
use crate::{
    Execute, FlowConfig, FlowSnapshot, FlowType, FlowWorker, MessageHandler, MetricsRegistry,
    NodeId, Outcome, OverloadPolicy, WaitStrategy,
};

const PEERS: u8 = 20;
/// Validators whose votes a peer passes on, and how many votes of others come for one of the first.
const VALIDATORS: u32 = 4;
const SELDOM: u32 = 50;
/// One for each validator, and one for the vote that runs.
const QUOTA: usize = VALIDATORS as usize + 1;

#[derive(Clone, Copy)]
struct Vote {
    validator: u32,
    due: Duration,
}

/// What is to come, and what was handled.
struct Site {
    flow: Rc<FlowWorker<Vote>>,
    arrivals: Peekable<vec::IntoIter<Duration>>,
    number: u32,
    /// By peer and validator, the last vote that was submitted, and the last that was handled.
    submitted: BTreeMap<(NodeId, u32), Duration>,
    handled: BTreeMap<(NodeId, u32), Duration>,
    oldest: Duration,
    calls: Vec<Execute<Vote>>,
}

thread_local! {
    static SITE: RefCell<Option<Site>> = const { RefCell::new(None) };
}

fn with<R>(use_it: impl FnOnce(&mut Site) -> R) -> R {
    SITE.with_borrow_mut(|site| use_it(site.as_mut().expect("a test runs")))
}

/// Submits what comes until then, when it comes.
fn submit_until(end: Duration) {
    while let Some(due) = with(|site| site.arrivals.next_if(|due| *due <= end)) {
        clock::set(Some(due.max(now())));
        let (flow, peer, validator) = with(|site| {
            site.number += 1;
            let peer = NodeId::new([(site.number % u32::from(PEERS)) as u8; 32]);
            let of_peer = site.number / u32::from(PEERS);
            let validator = if of_peer % SELDOM == 0 { 0 } else { 1 + of_peer % (VALIDATORS - 1) };
            site.submitted.insert((peer, validator), due);
            (Rc::clone(&site.flow), peer, validator)
        });
        let submitted = flow.execute(peer, Vote { validator, due });
        with(|site| site.calls.push(submitted));
    }
}

struct Votes;

impl MessageHandler<Vote> for Votes {
    fn handle(&self, peer: &NodeId, vote: Vote) {
        let began = now();
        let before = with(|site| {
            site.oldest = site.oldest.max(began - vote.due);
            site.handled.insert((*peer, vote.validator), vote.due)
        });
        assert!(before.is_none_or(|before| before < vote.due), "handled in vain");
        submit_until(began + SERVICE);
        clock::set(Some((began + SERVICE).max(now())));
    }

    fn supersedes(&self, newer: &Vote, older: &Vote) -> bool {
        newer.validator == older.validator && newer.due > older.due
    }
}

/// How many validators' last votes were not handled, of all peers, how old a vote was that was handled, and the counts.
fn run(policy: OverloadPolicy) -> (usize, Duration, FlowSnapshot) {
    let running = Running::begin();
    let config = FlowConfig::new(usize::from(PEERS) * QUOTA)
        .with_peer_quota(QUOTA)
        .with_threads(1)
        // One vote at a time, so that none is taken up early.
        .with_quantum(SERVICE)
        .with_wait_strategy(WaitStrategy::Park)
        .with_overload_policy(policy);
    let flow = FlowWorker::new(FlowType::Advert, &config, &MetricsRegistry::new(), Votes);
    let flow = Rc::new(flow.expect("the configuration is in range"));
    let arrivals = arrivals(Duration::ZERO, Duration::from_secs(2), 2.0);
    let submitted = arrivals.len() as u64;
    SITE.set(Some(Site {
        flow: Rc::clone(&flow),
        arrivals: arrivals.into_iter().peekable(),
        number: 0,
        submitted: BTreeMap::new(),
        handled: BTreeMap::new(),
        oldest: Duration::ZERO,
        calls: Vec::new(),
    }));
    while let Some(next) = with(|site| site.arrivals.peek().copied()) {
        submit_until(next);
        while run_one(0) {}
    }
    let Site { submitted: last, handled, oldest, calls, .. } =
        SITE.take().expect("it was set above");
    for call in calls {
        call.now_or_never().expect("nobody waits any more").expect("the flow is open");
    }
    let counts = flow.snapshot();
    counts.verify("Advert").unwrap();
    let found = (counts.in_flight, counts.panicked(), counts.submitted());
    assert_eq!(found, (0, 0, submitted));
    assert!(flow.shutdown(Duration::ZERO).is_clean());
    drop(flow);
    drop(running);
    (last.iter().filter(|(of, due)| handled.get(of) != Some(due)).count(), oldest, counts)
}

#[test]
fn the_last_vote_of_each_validator_is_handled_soon_although_one_is_heard_of_seldom() {
    let (lost, oldest, counts) = run(OverloadPolicy::KeepLatest);
    assert_eq!((lost, counts.dropped()), (0, 0));
    let superseded = counts.count(Outcome::Superseded);
    assert!(superseded > counts.admitted / 3, "{superseded} of {}", counts.admitted);
    // A turn of all peers for each place, and one that had begun.
    let bound = EACH * (u32::from(PEERS) * (QUOTA as u32 + 1));
    assert!(oldest < bound, "{oldest:?}, {bound:?}");
    // Where the oldest is dropped it is the one that is heard of seldom, half of the time.
    let (lost, _, counts) = run(OverloadPolicy::DropOldest);
    assert!(lost >= 4 && counts.dropped() > 0, "{lost}");
}
