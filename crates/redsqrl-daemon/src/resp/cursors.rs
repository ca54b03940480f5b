//! Where SCANs stand: a cursor is a number, and a place in the order of keys is not.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// The places of the SCANs under way, at most so many and none older than so long.
///
/// A cursor may be used again (a client that lost the reply asks again): it stays until its time
/// is over or newer ones need its room.
#[derive(Debug)]
pub(super) struct Cursors {
    places: HashMap<u64, Place>,
    /// In the order of their birth.
    order: VecDeque<u64>,
    len_max: usize,
    age_max: Duration,
}

#[derive(Debug)]
struct Place {
    after: String,
    born: Duration,
}

impl Cursors {
    pub(super) fn new(len_max: usize, age_max: Duration) -> Self {
        Cursors {
            places: HashMap::new(),
            order: VecDeque::new(),
            len_max: len_max.max(1),
            age_max,
        }
    }

    /// A cursor for the place behind `after`. `random` makes its number, which is never 0; `now`
    /// is the monotonic time.
    pub(super) fn keep(&mut self, after: String, random: u64, now: Duration) -> u64 {
        self.forget_old(now);
        // Clients read cursors into signed numbers; an occupied number moves on to the next.
        let mut cursor = (random >> 1).max(1);
        while self.places.contains_key(&cursor) {
            cursor = (cursor + 1).max(1) & (u64::MAX >> 1);
            cursor = cursor.max(1);
        }
        self.places.insert(cursor, Place { after, born: now });
        self.order.push_back(cursor);
        cursor
    }

    /// The key behind which the SCAN of this cursor goes on; `None`: unknown or too old.
    pub(super) fn find(&self, cursor: u64, now: Duration) -> Option<&str> {
        let place = self.places.get(&cursor)?;
        let is_fresh = now.saturating_sub(place.born) <= self.age_max;
        is_fresh.then_some(place.after.as_str())
    }

    fn forget_old(&mut self, now: Duration) {
        while let Some(oldest) = self.order.front() {
            let born = self.places.get(oldest).map(|place| place.born);
            let is_old = born.is_none_or(|born| now.saturating_sub(born) > self.age_max);
            if self.order.len() < self.len_max && !is_old {
                return;
            }
            self.places.remove(oldest);
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_cursor_is_found_until_it_is_old_or_crowded_out() {
        let mut cursors = Cursors::new(2, 10 * SECOND);
        let first = cursors.keep("a".into(), 0, SECOND);
        assert_ne!(first, 0);
        let second = cursors.keep("b".into(), 0, 2 * SECOND);
        assert_ne!(first, second, "the number was taken");
        assert_eq!(cursors.find(first, 11 * SECOND), Some("a"));
        assert_eq!(cursors.find(first, 12 * SECOND), None);
        let third = cursors.keep("c".into(), u64::MAX, 3 * SECOND);
        assert_eq!(cursors.find(first, 3 * SECOND), None, "crowded out");
        assert_eq!(cursors.find(third, 3 * SECOND), Some("c"));
        assert!(i64::try_from(third).is_ok());
        assert!(cursors.places.len() <= 2 && cursors.order.len() <= 2);
    }
}
