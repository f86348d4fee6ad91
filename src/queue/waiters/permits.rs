//! Permits: what one gets who waits without an item.
//!
//! A permit that was granted and that nobody has asked for since is *idle*: its owner has turned to other things when
//! it found that it had to wait, as a service below `load_shed` does. Idle permits would keep capacity from all others,
//! so they are revoked at the second [look](Waiters::revoke_idle) at the latest.

use std::sync::Arc;

use super::{Lane, Refusal, Waiter, Waiters};

/// A permit that is held.
#[derive(Debug)]
pub(super) struct Permit<K> {
    pub(super) lane: Arc<Lane<K>>,
    /// Its owner has asked, and knows that it has it.
    pub(super) is_known: bool,
    /// A look has found it idle.
    was_idle: bool,
}

impl<K> Permit<K> {
    pub(super) fn new(lane: &Arc<Lane<K>>) -> Self {
        Self { lane: Arc::clone(lane), is_known: false, was_idle: false }
    }
}

impl<K, T> Waiters<K, T> {
    /// A permit of this lane that its owner has got without a wait.
    pub(in super::super) fn hold(&mut self, lane: &Arc<Lane<K>>) -> usize {
        let ticket = self.add(Waiter::Held(Permit { is_known: true, ..Permit::new(lane) }));
        self.held.insert((lane.serial(), ticket));
        ticket
    }

    /// How many permits are held.
    pub(in super::super) fn permits(&self) -> usize {
        self.held.len()
    }

    /// Ends a ticket that holds a permit, which its item takes: returns the lane. Or why it holds none any more.
    pub(in super::super) fn fill(&mut self, ticket: usize) -> Result<Arc<Lane<K>>, Refusal> {
        let waiter = std::mem::replace(&mut self.waiters[ticket], Waiter::Free);
        self.free.push(ticket);
        match waiter {
            Waiter::Held(Permit { lane, .. }) => {
                self.held.remove(&(lane.serial(), ticket));
                Ok(lane)
            }
            Waiter::Refused(_, why) => Err(why),
            _ => unreachable!("a permit is filled that was granted, once"),
        }
    }

    /// Revokes the permits of a lane that are held; returns how many. They are the caller's to give back.
    pub(in super::super) fn revoke_lane(&mut self, lane: &Arc<Lane<K>>, why: Refusal) -> usize {
        let serial = lane.serial();
        let mut revoked = 0;
        while let Some(&held) = self.held.range((serial, 0)..=(serial, usize::MAX)).next() {
            self.held.remove(&held);
            self.waiters[held.1] = Waiter::Refused(None, why);
            revoked += 1;
        }
        revoked
    }

    /// Revokes all permits that are held; returns the lane of each. They are the caller's to give back.
    pub(in super::super) fn revoke_all(&mut self, why: Refusal) -> Vec<Arc<Lane<K>>> {
        let held = std::mem::take(&mut self.held);
        let revoked = held.into_iter().map(|(_, ticket)| {
            match std::mem::replace(&mut self.waiters[ticket], Waiter::Refused(None, why)) {
                Waiter::Held(permit) => permit.lane,
                _ => unreachable!("only permits are among those held"),
            }
        });
        revoked.collect()
    }

    /// Revokes the permits that were idle at the last look and still are; returns the lane of each. They are the
    /// caller's to give back.
    pub(in super::super) fn revoke_idle(&mut self) -> Vec<Arc<Lane<K>>> {
        let waiters = &mut self.waiters;
        let mut idle = Vec::new();
        self.held.retain(|&(_, ticket)| match &mut waiters[ticket] {
            Waiter::Held(Permit { is_known: false, was_idle, .. }) => {
                let is_kept = !std::mem::replace(was_idle, true);
                if !is_kept {
                    idle.push(ticket);
                }
                is_kept
            }
            _ => true,
        });
        let revoked = idle.into_iter().map(|ticket| {
            match std::mem::replace(&mut waiters[ticket], Waiter::Refused(None, Refusal::Idle)) {
                Waiter::Held(permit) => permit.lane,
                _ => unreachable!("only permits are among those held"),
            }
        });
        revoked.collect()
    }
}
