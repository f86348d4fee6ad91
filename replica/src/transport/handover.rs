//! Where the accept loop leaves a peer's newest connection for the task that serves the peer.
//!
//! One place: a connection that is put on top of another closes it, so a peer that dials in a hurry
//! holds at most two, the served one and the next.

use std::{
    net::SocketAddr,
    sync::{Mutex, PoisonError},
};

use quinn::Connection;
use tokio::sync::Notify;

use super::breach::{CLOSE_REPLACED, CLOSE_UNLISTED};

#[derive(Debug, Default)]
pub(super) struct Handover {
    newest: Mutex<Option<Connection>>,
    arrived: Notify,
}

impl Handover {
    pub(super) fn put(&self, connection: Connection) {
        let older = self.lock().replace(connection);
        if let Some(older) = older {
            older.close(CLOSE_REPLACED, b"replaced");
        }
        self.arrived.notify_one();
    }

    /// Waits until there is a connection, and leaves it there.
    pub(super) async fn filled(&self) {
        while self.lock().is_none() {
            // A permit is kept from a `put` since the look, so none is missed; there is one waiter.
            self.arrived.notified().await;
        }
    }

    /// Waits for a connection.
    ///
    /// # Cancel safety
    ///
    /// A connection is taken or left there.
    pub(super) async fn take(&self) -> Connection {
        loop {
            self.filled().await;
            if let Some(connection) = self.lock().take() {
                return connection;
            }
        }
    }

    /// The connection that waits, which stays there.
    pub(super) fn newest(&self) -> Option<Connection> {
        self.lock().clone()
    }

    /// The connection that waits, if there is one.
    pub(super) fn try_take(&self) -> Option<Connection> {
        self.lock().take()
    }

    /// Where the connection that waits comes from.
    pub(super) fn remote(&self) -> Option<SocketAddr> {
        self.lock().as_ref().map(Connection::remote_address)
    }

    /// Drops the connection that waits, if it has ended.
    pub(super) fn drop_closed(&self) {
        self.lock().take_if(|connection| connection.close_reason().is_some());
    }

    /// Cuts off the connection that waits: its peer is listed no longer.
    pub(super) fn cut_off(&self) {
        if let Some(connection) = self.try_take() {
            connection.close(CLOSE_UNLISTED, b"not listed any more");
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Connection>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
