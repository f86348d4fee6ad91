//! The one word that ends all tasks of a transport: said once, never taken back.

use tokio::sync::watch;

#[derive(Clone, Debug)]
pub(super) struct Stop(watch::Sender<bool>);

impl Stop {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    pub(super) fn set(&self) {
        self.0.send_replace(true);
    }

    pub(super) fn is_set(&self) -> bool {
        *self.0.borrow()
    }

    pub(super) async fn wait(&self) {
        // An error says that all senders are gone; we hold one.
        let _ = self.0.subscribe().wait_for(|stopped| *stopped).await;
    }
}
