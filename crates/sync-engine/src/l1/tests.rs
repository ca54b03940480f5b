//! What L1 does, by example.

use super::model::{BOTH, name, stored};
use super::*;
use crate::wal::WalPos;

fn room_for(entries: usize) -> L1 {
    let limits = L1Limits {
        bytes_max: entries * L1::weight_of(&stored(0, 1, 0)),
        warn: 0.7,
        critical: 0.9,
    };
    L1::new(limits, 1)
}

#[test]
fn what_is_dirty_stays_and_a_fill_gives_way() {
    let l1 = room_for(3);
    for key in 0..5 {
        assert!(
            l1.write(stored(key, 1, 0), BOTH, u64::from(key), None)
                .accepted
        );
    }
    assert!(l1.pressure() > 1.0);
    assert!(!l1.fill(stored(9, 1, 0), l1.ticket("k9"), None));
    assert_eq!((l1.len(), l1.dirty_len()), (5, 5));
    for key in 0..5 {
        let flight = l1.begin_flush(&name(key)).unwrap();
        l1.settle(&name(key), flight.stored.stamp(), BOTH);
    }
    assert!(
        l1.pressure() <= 1.0,
        "settled entries leave down to the cap"
    );
    assert!(l1.fill(stored(9, 1, 0), l1.ticket("k9"), None));
}

#[test]
fn a_fill_older_than_a_flush_is_refused() {
    // A reader looks into L3, a write comes, is flushed and evicted, and then the reader arrives with the old value.
    let l1 = room_for(10);
    assert!(l1.write(stored(1, 2, 0), BOTH, 1, None).accepted);
    let ticket = l1.ticket("k1");
    let flight = l1.begin_flush("k1").unwrap();
    assert!(!l1.settle("k1", flight.stored.stamp(), BOTH).requeue);
    assert!(l1.remove_clean("k1", flight.stored.stamp()));
    assert!(!l1.fill(stored(1, 1, 0), ticket, None));
    assert!(l1.fill(stored(1, 2, 0), l1.ticket("k1"), Some(7)));
    assert_eq!(l1.peek("k1").unwrap().cache_until, Some(7));
}

#[test]
fn a_merged_write_that_nobody_holds_still_voids_fills() {
    let l1 = room_for(10);
    let ticket = l1.ticket("k1");
    assert_eq!(l1.merge(stored(1, 2, 0), Due::none()), Written::default());
    assert!(l1.is_empty() && !l1.fill(stored(1, 1, 0), ticket, None));
}

#[test]
fn a_smaller_cap_takes_effect_at_once() {
    let l1 = room_for(100);
    for key in 0..60 {
        assert!(l1.fill(stored(key, 1, 0), l1.ticket(&name(key)), None));
    }
    let bytes_max = l1.used_bytes() / 3;
    l1.set_limits(L1Limits {
        bytes_max,
        warn: 0.7,
        critical: 0.9,
    });
    assert!(l1.used_bytes() <= bytes_max && l1.len() >= 15);
    assert!(l1.stats().evictions >= 40);
    assert!(
        !l1.fill(stored(99, 1, bytes_max), l1.ticket("k99"), None),
        "larger than the cap"
    );
}

#[test]
fn reads_are_counted_and_peeks_are_not() {
    let l1 = room_for(10);
    assert!(l1.fill(stored(1, 1, 0), l1.ticket("k1"), None));
    assert!(l1.get("k1", 5).is_some() && l1.get("k2", 5).is_none() && l1.peek("k1").is_some());
    let entry = l1.peek("k1").unwrap();
    let item = entry.stored.item().unwrap();
    assert_eq!((item.access_count(), item.last_accessed()), (1, 5));
    let stats = l1.stats();
    assert_eq!((stats.hits, stats.misses, stats.inserts), (1, 1, 1));
}

#[test]
fn only_the_write_that_was_found_is_renewed() {
    let l1 = room_for(10);
    let stamp = |time| stored(1, time, 0).stamp();
    assert!(l1.write(stored(1, 1, 0), BOTH, 4, None).accepted);
    let at = |pos: WalPos| l1.logged_below(pos).into_iter().map(|(_, at)| at).collect();
    let (below, at_all): (Vec<WalPos>, Vec<WalPos>) = (at(4), at(5));
    assert_eq!((below, at_all), (vec![], vec![4]));
    assert_eq!(l1.renew("k1", stamp(1), 4, 8), 4);
    assert_eq!(l1.renew("k1", stamp(1), 4, 9), 9, "it is elsewhere by now");
    assert_eq!(l1.renew("k1", stamp(2), 8, 9), 9, "another write");
    assert_eq!(l1.renew("k2", stamp(1), 8, 9), 9, "nobody");
    let written = l1.write(stored(1, 2, 0), BOTH, 9, None);
    assert_eq!(written.freed_pos, Some(8));
}
