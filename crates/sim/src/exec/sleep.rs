//! Waiting for a time to come.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::World;

impl World {
    /// Completes after `duration`.
    pub fn sleep(&self, duration: Duration) -> Sleep {
        let mut state = self.0.lock();
        Sleep {
            world: self.clone(),
            key: (state.now.saturating_add(duration), state.next_id()),
        }
    }
}

/// See [`World::sleep`].
pub struct Sleep {
    world: World,
    key: (Duration, u64),
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.world.0.lock();
        if self.key.0 <= state.now {
            state.timers.remove(&self.key);
            return Poll::Ready(());
        }
        state.timers.insert(self.key, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        let waker = self.world.0.lock().timers.remove(&self.key);
        drop(waker);
    }
}
