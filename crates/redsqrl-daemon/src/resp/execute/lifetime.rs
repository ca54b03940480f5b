//! Commands about the end of keys.

use sync_engine::SyncItem;

use super::Executor;
use super::fault::Fault;
use super::values::One;
use crate::resp::command::{Expire, ExpireIf};
use crate::resp::special::Place;

/// There is no such key.
const ABSENT: i64 = -2;

/// The key never ends.
const UNBOUNDED: i64 = -1;

/// TTL, given the end and the time now, both in milliseconds since 1970.
pub(super) fn seconds_left(ends_ms: i64, now_ms: i64) -> i64 {
    millis_left(ends_ms, now_ms).saturating_add(500) / 1000
}

/// PTTL.
pub(super) fn millis_left(ends_ms: i64, now_ms: i64) -> i64 {
    ends_ms.saturating_sub(now_ms).max(0)
}

/// EXPIRETIME.
pub(super) fn end_in_seconds(ends_ms: i64, _now_ms: i64) -> i64 {
    ends_ms.saturating_add(500) / 1000
}

/// PEXPIRETIME.
pub(super) fn end_in_millis(ends_ms: i64, _now_ms: i64) -> i64 {
    ends_ms
}

impl Executor<'_> {
    /// TTL and its relatives: `tell` makes the number.
    pub(super) async fn lifetime(
        &mut self,
        key: &[u8],
        tell: fn(i64, i64) -> i64,
    ) -> Result<(), Fault> {
        let number = match self.shared.place(key) {
            Place::Item => match self.item_of(key).await?.item {
                None => ABSENT,
                Some(item) => {
                    let now_ms = self.shared.env().now_ms();
                    item.expires_at.map_or(UNBOUNDED, |ends| tell(ends, now_ms))
                }
            },
            Place::Root => UNBOUNDED,
            Place::Changes | Place::Mail if self.is_stream(key) => UNBOUNDED,
            Place::Changes | Place::Mail => ABSENT,
        };
        self.reply().integer(number);
        Ok(())
    }

    pub(super) async fn expire(&mut self, expire: Expire) -> Result<(), Fault> {
        self.check_writable(&expire.key)?;
        let shared = self.shared.clone();
        let _held = shared.locks.exclusive(&expire.key).await;
        let now_ms = shared.env().now_ms();
        let deadline = expire.expiry.deadline_ms(now_ms);
        let One { item, room: _room } = self.item_of(&expire.key).await?;
        let due = item.filter(|item| is_due(expire.condition, item.expires_at, deadline));
        let is_due = due.is_some();
        match due {
            None => {}
            Some(item) if deadline <= now_ms => {
                self.delete(&item.object_id).await?;
            }
            Some(item) => self.rewrite(item, Some(deadline)).await?,
        }
        self.reply().integer(is_due.into());
        Ok(())
    }

    pub(super) async fn persist(&mut self, key: &[u8]) -> Result<(), Fault> {
        self.check_writable(key)?;
        let shared = self.shared.clone();
        let _held = shared.locks.exclusive(key).await;
        let One { item, room: _room } = self.item_of(key).await?;
        let bounded = item.filter(|item| item.expires_at.is_some());
        let was_bounded = bounded.is_some();
        if let Some(item) = bounded {
            self.rewrite(item, None).await?;
        }
        self.reply().integer(was_bounded.into());
        Ok(())
    }

    /// Writes the item again, with another end.
    async fn rewrite(&self, item: SyncItem, expires_at: Option<i64>) -> Result<(), Fault> {
        let item = item.with_expires_at(expires_at);
        self.shared.engine.submit(item).await?;
        Ok(())
    }
}

/// Whether an EXPIRE takes place on a key that ends at `ends`. A key without an end counts as one
/// that never ends.
fn is_due(condition: Option<ExpireIf>, ends: Option<i64>, deadline: i64) -> bool {
    match (condition, ends) {
        (None, _) => true,
        (Some(ExpireIf::Unbounded), ends) => ends.is_none(),
        (Some(ExpireIf::Bounded), ends) => ends.is_some(),
        (Some(ExpireIf::Later), ends) => ends.is_some_and(|ends| deadline > ends),
        (Some(ExpireIf::Sooner), ends) => ends.is_none_or(|ends| deadline < ends),
        (Some(ExpireIf::BoundedAndSooner), ends) => ends.is_some_and(|ends| deadline < ends),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_of_expire() {
        let due = |condition, ends| is_due(Some(condition), ends, 10);
        let (before, after) = (Some(5), Some(15));
        assert!(is_due(None, None, 10) && is_due(None, after, 10));
        assert!(due(ExpireIf::Unbounded, None) && !due(ExpireIf::Unbounded, after));
        assert!(due(ExpireIf::Bounded, after) && !due(ExpireIf::Bounded, None));
        assert!(due(ExpireIf::Later, before) && !due(ExpireIf::Later, after));
        assert!(!due(ExpireIf::Later, None) && due(ExpireIf::Sooner, None));
        assert!(due(ExpireIf::Sooner, after) && !due(ExpireIf::Sooner, before));
        assert!(due(ExpireIf::BoundedAndSooner, after) && !due(ExpireIf::BoundedAndSooner, None));
    }

    #[test]
    fn what_is_left() {
        assert_eq!(seconds_left(10_400, 9_000), 1);
        assert_eq!(seconds_left(10_500, 9_000), 2);
        assert_eq!(millis_left(10, 20), 0);
        assert_eq!(end_in_seconds(1_700_000_000_000, 0), 1_700_000_000);
        assert_eq!(seconds_left(i64::MAX, i64::MIN), i64::MAX / 1000);
    }
}
