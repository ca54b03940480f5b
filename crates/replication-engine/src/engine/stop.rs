//! The sign to stop, and how waits heed it.

use std::future::Future;

use futures_util::future::{Either, select};
use tokio::sync::watch;

/// A sign that is given once. Cheap to clone.
#[derive(Clone)]
pub struct Stop {
    sign: watch::Receiver<bool>,
}

/// Who gives the sign. Dropping it gives it, too.
pub struct StopSign(watch::Sender<bool>);

impl Default for StopSign {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl StopSign {
    /// Gives the sign.
    pub fn give(&self) {
        self.0.send_replace(true);
    }

    /// One who heeds it.
    pub fn heeded(&self) -> Stop {
        Stop {
            sign: self.0.subscribe(),
        }
    }
}

impl Stop {
    /// Whether it was given.
    pub fn is_given(&self) -> bool {
        *self.sign.borrow() || self.sign.has_changed().is_err()
    }

    /// Awaits `work` unless the sign is given before it is done; then the work is dropped. Only for work that may be
    /// dropped anywhere: reads and waits, never a bulk call into the store.
    pub async fn unless<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut sign = self.sign.clone();
        let stopped = std::pin::pin!(async move {
            // An error: whoever gives the sign is gone, which is a sign as well.
            sign.wait_for(|given| *given).await.is_ok()
        });
        match select(stopped, std::pin::pin!(work)).await {
            Either::Left(_) => None,
            Either::Right((done, _)) => Some(done),
        }
    }
}
