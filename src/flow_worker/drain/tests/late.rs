//! What comes too late: after a shutdown, or after its peer has gone.

use std::{
    sync::OnceLock,
    task::{Wake, Waker},
};

use super::*;
use crate::{Codel, OverloadPolicy, flow_worker::line::Standing};

/// Shuts the flow down when it is woken.
struct Closes(Arc<TestCore>);

impl Wake for Closes {
    fn wake(self: Arc<Self>) {
        self.0.admission.close(&self.0);
        self.0.abandon();
    }
}

#[test]
fn nothing_starts_after_a_waker_has_shut_the_flow_down() {
    let (core, record) = core(10, 2, false);
    submit(&core, 1);
    // A submitter that a handler before has let in, and that was not woken yet.
    let (full, _) = self::core(1, 1, false);
    submit(&full, 0);
    let Decision::Waits(_, place) = full.bring(PEER, 0, 4, true) else { panic!("there is room") };
    let waker = Waker::from(Arc::new(Closes(Arc::clone(&core))));
    assert_eq!(place.poll(&waker), Standing::Waiting);
    let mut shift = Shift::new(&core.metrics.workers[0], &core.live, Moment::now());
    shift.decided.push(place);
    let lane = core.seat(PEER).unwrap();
    let brought = lane.queue.pop().unwrap();
    TestCore::run(&core, &lane, brought, &mut shift);
    let seen = record.0.lock().unwrap();
    assert_eq!((&*seen.handled, &*seen.discarded), ([].as_slice(), [1].as_slice()));
}

/// The worker of the thread ends what it runs while a message is let go.
struct EndsMeanwhile(OnceLock<Arc<FlowMetrics>>);

impl Handle<u32> for EndsMeanwhile {
    fn handle(&self, _: NodeId, _: u32) {}

    fn discard(&self, _: u32) {
        self.0.get().unwrap().workers[0].ends_turn(0);
    }
}

#[test]
fn a_straggler_that_lets_its_message_go_touches_no_workers_seat() {
    let core = build(FlowConfig::new(10).with_threads(1), false, EndsMeanwhile(OnceLock::new()));
    core.live.load().handler.0.set(Arc::clone(&core.metrics)).unwrap();
    let lane = core.seat(PEER).unwrap();
    let mut brought = Brought::new(3, Moment::now(), 4);
    assert_eq!(core.admission.enter(&lane, &mut brought, &core), Entry::Admitted);
    // The worker runs a handler, on a thread that is not this one.
    core.metrics.workers[0].begins_turn(lane.seat);
    core.admission.close(&core);
    core.abandon();
    *core.threads.gone.lock().unwrap() = true;
    core.admit(&lane, brought);
    assert_eq!((core.metrics.workers[0].seat(), core.metrics.in_flight()), (None, 0));
}

#[test]
fn what_is_pushed_after_its_peer_has_gone_is_swept_by_whoever_needs_room() {
    let (core, record) = core(1, 1, false);
    let lane = core.seat(PEER).unwrap();
    let mut late = Brought::new(1, Moment::now(), 4);
    assert_eq!(core.admission.enter(&lane, &mut late, &core), Entry::Admitted);
    core.cancel(PEER);
    core.admit(&lane, late);
    // No worker comes to it, and there is room for one.
    let outcome = core.bring(NodeId::new([2; 32]), 2, 4, false);
    assert!(matches!(outcome, Decision::Admitted), "{outcome:?}");
    assert_eq!(record.0.lock().unwrap().discarded, [1]);
}

#[test]
fn a_loss_is_its_connections_although_a_submitter_remembers_the_one_before() {
    let config = FlowConfig::new(1).with_threads(1);
    let core = build(config, false, Record::default());
    let other = NodeId::new([2; 32]);
    assert!(matches!(core.bring(other, 1, 4, false), Decision::Admitted));
    let before = core.seat(PEER).unwrap();
    // Somebody waits, and then the policy changes.
    let waits = core.bring(NodeId::new([3; 32]), 2, 4, true);
    assert!(matches!(waits, Decision::Waits(..)) && core.admission.is_starved());
    core.reconfigure(&core.built.with_overload_policy(OverloadPolicy::DropNewest));
    core.cancel(PEER);
    let outcome = core.bring_to(Some(&before), PEER, 3, 4, true);
    assert!(matches!(outcome, Decision::Dropped), "{outcome:?}");
    let now = core.seat(PEER).unwrap();
    assert_eq!((before.has_losses(), now.has_losses()), (false, true));
}

#[test]
fn what_is_pushed_after_its_peer_has_gone_lets_those_in_who_wait_already() {
    let (core, record) = core(2, 1, false);
    let lane = core.seat(PEER).unwrap();
    let mut late = Brought::new(1, Moment::now(), 4);
    assert_eq!(core.admission.enter(&lane, &mut late, &core), Entry::Admitted);
    // Between its entry and its push the flow is filled, somebody waits, and the peer goes.
    let other = NodeId::new([2; 32]);
    assert!(matches!(core.bring(other, 2, 4, false), Decision::Admitted));
    let Decision::Waits(_, place) = core.bring(NodeId::new([3; 32]), 3, 4, true) else {
        panic!("there is room")
    };
    core.cancel(PEER);
    core.push_brought(&lane, late);
    assert_eq!(place.standing(), Standing::Granted);
    assert_eq!(record.0.lock().unwrap().discarded, [1]);
}

#[test]
fn a_closed_flow_makes_no_lane_for_whoever_comes() {
    let (core, _) = core(2, 1, false);
    core.close();
    let outcome = core.bring(PEER, 1, 4, true);
    assert!(matches!(outcome, Decision::Refused(1, RefusalReason::Closed)), "{outcome:?}");
    assert_eq!(core.peers.iter().count(), 0);
}

#[test]
fn a_queue_that_was_emptied_by_age_does_not_stand_an_hour_later() {
    let hour = Duration::from_secs(3_600);
    let codel = Codel::new(Duration::from_micros(1), Duration::from_micros(10));
    let config = FlowConfig::new(10).with_threads(1).with_codel(Some(codel));
    let core = build(config.with_max_age(Some(hour / 60)), false, Record::default());
    let lane = core.seat(PEER).unwrap();
    let nanos = |time: Duration| time.as_nanos() as u64;
    // It stands, and then its last message is not asked for, but expires.
    let (began, wait) = (nanos(hour), nanos(Duration::from_millis(1)));
    assert!(!lane.standing.sheds(codel, began, wait, false));
    submit(&core, 1);
    let mut shift = Shift::new(&core.metrics.workers[0], &core.live, Moment::now());
    shift.now = Moment::now().after(hour);
    // However long a slow machine takes for it.
    shift.end = shift.now.after(hour);
    assert!(core.take_lane(&mut shift).is_some());
    core.serve(&lane, &mut shift);
    assert_eq!(core.metrics.snapshot().count(Outcome::Expired), 1);
    assert!(!lane.standing.sheds(codel, 2 * began, wait, false), "it has only just come");
}
