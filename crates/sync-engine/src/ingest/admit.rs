//! What may enter, and when: the checks of one item, and the budget of unstored bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::env::Env;
use crate::error::{InvalidItem, StorageError, Tier};
use crate::item::SyncItem;
use crate::limits::{FIELD_BYTES_MAX, STATE_BYTES_MAX};

/// What the checks of an item depend on.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Largest payload.
    pub payload_bytes_max: usize,
    /// Whether there is a Redis tier.
    pub cache: bool,
    /// Whether there is a SQL tier.
    pub archive: bool,
}

/// Whether the item may be stored.
pub fn check(item: &SyncItem, rules: &Rules) -> Result<(), StorageError> {
    item.object_id.check()?;
    check_fields(item, rules).map_err(|reason| StorageError::InvalidItem {
        id: item.object_id.clone(),
        reason,
    })
}

/// Whether the item may have the stamp it was received with. The end of an item's life has stamps of its own: an item with
/// one of those could never end.
pub fn check_stamp(item: &SyncItem) -> Result<(), StorageError> {
    match item.stamp == item.stamp.of_expiry() {
        false => Ok(()),
        true => Err(StorageError::InvalidItem {
            id: item.object_id.clone(),
            reason: InvalidItem::StampOfExpiry { stamp: item.stamp },
        }),
    }
}

fn check_fields(item: &SyncItem, rules: &Rules) -> Result<(), InvalidItem> {
    if item.content.len() > rules.payload_bytes_max {
        return Err(InvalidItem::PayloadTooLarge {
            bytes: item.content.len(),
            limit: rules.payload_bytes_max,
        });
    }
    let length = |text: &Option<Box<str>>| text.as_ref().map_or(0, |t| t.len());
    for (field, bytes, limit) in [
        ("state", item.state.len(), STATE_BYTES_MAX),
        ("batch_id", length(&item.batch_id), FIELD_BYTES_MAX),
        ("trace_parent", length(&item.trace_parent), FIELD_BYTES_MAX),
        ("trace_state", length(&item.trace_state), FIELD_BYTES_MAX),
        (
            "home_instance_id",
            length(&item.home_instance_id),
            FIELD_BYTES_MAX,
        ),
    ] {
        if bytes > limit {
            return Err(InvalidItem::FieldTooLong {
                field,
                bytes,
                limit,
            });
        }
    }
    let options = &item.submit_options;
    match (options.redis, options.sql) {
        (false, false) => Err(InvalidItem::NoTier),
        (true, false) if !rules.cache => Err(InvalidItem::TierNotConfigured { tier: Tier::Cache }),
        (false, true) if !rules.archive => Err(InvalidItem::TierNotConfigured {
            tier: Tier::Archive,
        }),
        _ => Ok(()),
    }
}

/// A bound on the bytes that wait to be stored. Reaching it slows callers, then refuses them.
///
/// It counts what is on its way in; what has arrived is counted by its holder, which says so through `held`.
#[derive(Debug)]
pub struct Budget {
    reserved: AtomicUsize,
    limit: AtomicUsize,
    closed: AtomicBool,
    freed: Notify,
}

/// Why a [`Budget`] gave nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Still no room after waiting.
    Full,
    /// It was closed.
    Closed,
}

impl Budget {
    /// A budget of `limit` bytes.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            reserved: AtomicUsize::new(0),
            limit: AtomicUsize::new(limit),
            closed: AtomicBool::new(false),
            freed: Notify::new(),
        })
    }

    /// A new bound, in force at once.
    pub fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
        self.freed.notify_waiters();
    }

    /// The bound.
    pub fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    /// The holder holds less than before: wakes those who wait.
    pub fn freed(&self) {
        self.freed.notify_waiters();
    }

    fn try_take(&self, bytes: usize, held: &impl Fn() -> usize) -> bool {
        let fits = |reserved: usize| {
            let used = reserved.saturating_add(held());
            // Something larger than the whole budget enters when nothing else is waiting.
            used == 0 || used.saturating_add(bytes) <= self.limit()
        };
        self.reserved
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |reserved| {
                fits(reserved).then_some(reserved.saturating_add(bytes))
            })
            .is_ok()
    }

    /// Takes `bytes`, waiting up to `patience` for others to be stored.
    pub async fn take(
        self: &Arc<Self>,
        env: &dyn Env,
        bytes: usize,
        patience: Duration,
        held: impl Fn() -> usize,
    ) -> Result<Permit, Refused> {
        // Even an empty write counts, so that `close` waits for it.
        let bytes = bytes.max(1);
        if !self.try_take(bytes, &held) {
            self.wait_and_take(env, bytes, patience, &held).await?;
        }
        let permit = Permit {
            budget: self.clone(),
            bytes,
        };
        // Looked at after the bytes were taken: either `close` sees them, or this sees that it is closed.
        match self.closed.load(Ordering::SeqCst) {
            false => Ok(permit),
            true => Err(Refused::Closed),
        }
    }

    /// Takes `bytes` if there is room now and half of the budget stays free: for work that can be left undone.
    pub fn spare(self: &Arc<Self>, bytes: usize, held: impl Fn() -> usize) -> Option<Permit> {
        let half = self.limit() / 2;
        let held = || held().saturating_add(half);
        let fits = bytes <= half && !self.closed.load(Ordering::SeqCst);
        (fits && self.try_take(bytes, &held)).then(|| Permit {
            budget: self.clone(),
            bytes,
        })
    }

    async fn wait_and_take(
        &self,
        env: &dyn Env,
        bytes: usize,
        patience: Duration,
        held: &impl Fn() -> usize,
    ) -> Result<(), Refused> {
        let waited = crate::env::timeout(env, patience, async {
            loop {
                let freed = self.freed.notified();
                let mut freed = std::pin::pin!(freed);
                // Listen first, then look again: a release in between is not missed.
                freed.as_mut().enable();
                if self.try_take(bytes, held) {
                    return;
                }
                freed.await;
            }
        });
        waited.await.map_err(|_| Refused::Full)
    }

    /// Lets nobody in any more, and waits up to `patience` for those who are on their way in.
    pub async fn close(&self, env: &dyn Env, patience: Duration) {
        self.closed.store(true, Ordering::SeqCst);
        let all_in = async {
            loop {
                let freed = self.freed.notified();
                let mut freed = std::pin::pin!(freed);
                freed.as_mut().enable();
                if self.reserved.load(Ordering::SeqCst) == 0 {
                    return;
                }
                freed.await;
            }
        };
        // Whoever is later than that gets an error instead of an acknowledgement.
        crate::env::timeout(env, patience, all_in).await.ok();
    }
}

/// Bytes on their way in. Dropped once they are counted by the holder, or given up.
#[derive(Debug)]
pub struct Permit {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.budget.reserved.fetch_sub(self.bytes, Ordering::SeqCst);
        self.budget.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::RealEnv;
    use crate::item::options::SubmitOptions;

    #[test]
    fn an_item_that_no_tier_would_keep_is_refused() {
        let rules = Rules {
            payload_bytes_max: 10,
            cache: false,
            archive: true,
        };
        let item = SyncItem::new("a", vec![0; 5]);
        assert!(check(&item, &rules).is_ok());
        let cached = item
            .clone()
            .with_options(SubmitOptions::cache(crate::CacheTtl::Hour));
        assert!(matches!(
            check(&cached, &rules),
            Err(StorageError::InvalidItem {
                reason: InvalidItem::TierNotConfigured { tier: Tier::Cache },
                ..
            })
        ));
        let nowhere = SubmitOptions {
            redis: false,
            sql: false,
            ..Default::default()
        };
        assert!(check(&item.clone().with_options(nowhere), &rules).is_err());
        assert!(check(&SyncItem::new("a", vec![0; 11]), &rules).is_err());
        assert!(check(&item.with_state("x".repeat(257)), &rules).is_err());
    }

    #[tokio::test]
    async fn a_full_budget_waits_then_refuses() {
        let env = RealEnv::default();
        let (short, none) = (Duration::from_millis(5), || 0);
        let budget = Budget::new(100);
        let first = budget.take(&env, 80, short, none).await.unwrap();
        assert!(budget.take(&env, 30, short, none).await.is_err());
        assert!(budget.take(&env, 10, short, || 11).await.is_err());
        let waiting = {
            let budget = budget.clone();
            tokio::spawn(async move {
                let env = RealEnv::default();
                let permit = budget.take(&env, 30, Duration::from_secs(5), || 0).await;
                permit.is_ok()
            })
        };
        tokio::time::sleep(Duration::from_millis(20)).await;
        drop(first);
        assert!(waiting.await.unwrap());
        assert!(
            budget.take(&env, 1000, short, none).await.is_ok(),
            "enters alone"
        );
        assert!(budget.take(&env, 1000, short, || 1).await.is_err());
        budget.close(&env, short).await;
        assert_eq!(
            budget.take(&env, 1, short, none).await.err(),
            Some(Refused::Closed)
        );
    }
}
