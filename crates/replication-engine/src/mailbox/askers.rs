//! Nodes that are answered though they are none of our peers. Pure: the caller passes the monotonic time in.
//!
//! Each has a stream of its own for its answers, so there may be only so many at a time. Names are cheap to invent: who has
//! not asked for a while leaves, at the time at which the server deletes its stream.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::limits::{ANSWERS_KEPT, ASKERS_MAX};

/// Those that have asked lately, and when each did last.
#[derive(Debug, Default)]
pub struct Askers {
    asked_at: BTreeMap<String, Duration>,
}

impl Askers {
    /// Whether there is room for this one, which asks now.
    pub fn admit(&mut self, from: &str, now: Duration) -> bool {
        if !self.asked_at.contains_key(from) && self.asked_at.len() >= ASKERS_MAX {
            let is_recent = |at: Duration| now.saturating_sub(at) < ANSWERS_KEPT;
            self.asked_at.retain(|_, at| is_recent(*at));
            if self.asked_at.len() >= ASKERS_MAX {
                return false;
            }
        }
        self.asked_at.insert(from.to_owned(), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i12_invented_names_lock_nobody_out_for_good() {
        let mut askers = Askers::default();
        let at = |secs| Duration::from_secs(secs);
        assert!(askers.admit("known", at(0)));
        let invented = (0..2 * ASKERS_MAX).map(|n| format!("x{n}"));
        let admitted = invented.filter(|name| askers.admit(name, at(1)));
        assert_eq!(admitted.count(), ASKERS_MAX - 1);
        assert!(askers.admit("known", at(2)) && !askers.admit("new", at(2)));
        let later = at(1) + ANSWERS_KEPT;
        assert!(!askers.admit("new", later - at(1)));
        assert!(askers.admit("new", later) && askers.admit("known", later));
        assert_eq!(askers.asked_at.len(), 2);
    }
}
