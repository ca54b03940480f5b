//! A place where whoever comes next waits until the test lets him go on.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Semaphore;

/// Holds one at a time.
pub struct Hold {
    is_set: AtomicBool,
    holds: AtomicBool,
    released: Semaphore,
}

impl Default for Hold {
    fn default() -> Self {
        Self {
            is_set: AtomicBool::new(false),
            holds: AtomicBool::new(false),
            released: Semaphore::new(0),
        }
    }
}

impl Hold {
    /// The next one is held.
    pub fn set(&self) {
        self.is_set.store(true, Ordering::SeqCst);
    }

    /// Waits until somebody is held.
    pub async fn holds(&self) {
        super::eventually("somebody is held", async || {
            self.holds.load(Ordering::SeqCst)
        })
        .await;
    }

    /// Who is held goes on.
    pub fn release(&self) {
        self.holds.store(false, Ordering::SeqCst);
        self.released.add_permits(1);
    }

    /// Comes by.
    pub async fn pass(&self) {
        if self.is_set.swap(false, Ordering::SeqCst) {
            self.holds.store(true, Ordering::SeqCst);
            self.released
                .acquire()
                .await
                .expect("never closed")
                .forget();
        }
    }
}
