//! What holds of the protocol whenever none of its callbacks runs.

use super::ReplicaGossip;

impl ReplicaGossip {
    /// Panics if something does not fit together.
    pub(crate) fn check(&self) {
        let state = self.state();
        state.downloads.check();
        state.answers.check();
        self.lacks().check();
        for attempt in state.partials.keys() {
            assert!(state.downloads.is_running(*attempt), "a file of an attempt that is over");
        }
        let (granted, reserved) = (state.downloads.granted_bytes(), self.store.reserved_bytes());
        assert_eq!(granted, reserved, "space reserved for nobody, or used without");
        for id in state.downloads.wanted() {
            assert!(!self.store.contains(id), "wanted and held");
        }
    }
}
