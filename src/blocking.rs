//! Waiting for a future on a thread that has no executor.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
};

use crate::sync::{Thread, current_thread, park};

struct Unparker(Thread);

impl Wake for Unparker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

/// Parks the calling thread until the future is ready. It may be unparked by others meanwhile, and looks again.
pub(crate) fn wait<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    // Most are ready at once, and allocate nothing.
    if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        return output;
    }
    let waker = Waker::from(Arc::new(Unparker(current_thread())));
    let mut context = Context::from_waker(&waker);
    let mut idle = 0;
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            // In a simulation there is no other thread that could end the wait.
            Poll::Pending if crate::testing::run_others(&mut idle) => {}
            Poll::Pending => park(),
        }
    }
}
