//! Which record takes the place of which.

use super::*;

#[tokio::test]
async fn a_record_replaces_one_with_a_smaller_or_equal_stamp_never_one_with_a_greater_stamp() {
    let (_server, cache) = started();
    // Around the borders of the 32-bit words, and where text compares differently from numbers.
    let words = [
        0,
        1,
        0x7f,
        0x80,
        0xff,
        0x7fff_ffff,
        0x8000_0000,
        0xffff_ffff,
    ];
    let mut stamps = Vec::new();
    for high in words {
        for low in words {
            stamps.push(stamp((high << 32) | low, (low << 32) | high));
            stamps.push(stamp((high << 32) | low, high));
        }
    }
    let keys: Vec<(String, Stamp, Stamp)> = stamps
        .iter()
        .flat_map(|old| stamps.iter().map(|new| (*old, *new)))
        .enumerate()
        .map(|(at, (old, new))| (format!("k{at}"), old, new))
        .collect();
    let first: Vec<_> = keys
        .iter()
        .map(|(k, old, _)| item_at(k, *old, "old"))
        .collect();
    let second: Vec<_> = keys
        .iter()
        .map(|(k, _, new)| item_at(k, *new, "new"))
        .collect();
    cache.put_many(7, &first).await.unwrap();
    cache.put_many(7, &second).await.unwrap();
    let names: Vec<Key> = keys.iter().map(|(key, ..)| key.as_str().into()).collect();
    let found = cache.get_many(&names).await.unwrap();
    assert_eq!(found.len(), keys.len());
    for ((key, old, new), lookup) in keys.iter().zip(found) {
        let Lookup::Hit(Stored::Live(item), 7) = lookup else {
            panic!("{key}: {lookup:?}");
        };
        assert_eq!(item.stamp, *old.max(new), "{key}: {old} {new}");
        let winner = if new >= old { "new" } else { "old" };
        assert_eq!(&item.content[..], winner.as_bytes(), "{key}: {old} {new}");
    }
}

#[tokio::test]
async fn a_record_replaces_one_of_an_earlier_generation() {
    let (_server, cache) = started();
    for (old, new) in [
        (1, 2),
        (0, u64::from(u32::MAX)),
        (0x7fff_ffff, 0x8000_0000),
        (255, 256),
    ] {
        cache.put_many(old, &[item("a", 9)]).await.unwrap();
        cache.put_many(new, &[item("a", 5)]).await.unwrap();
        assert_eq!(stamp_of(&cache, "a").await, (stamp(5, 0), new));
        // The other way round the stamp alone decides.
        cache.put_many(old, &[item("a", 4)]).await.unwrap();
        assert_eq!(stamp_of(&cache, "a").await, (stamp(5, 0), new));
        cache.put_many(old, &[item("a", 6)]).await.unwrap();
        assert_eq!(stamp_of(&cache, "a").await, (stamp(6, 0), old));
        cache
            .remove_many(new, &[("a".into(), stamp(99, 0))])
            .await
            .unwrap();
    }
}

/// Of what only the cache keeps, no archive knows better.
#[tokio::test]
async fn i1_what_only_the_cache_keeps_is_not_replaced_by_an_older_record_of_a_later_generation() {
    let (_server, cache) = started();
    cache.put_many(1, &[item_alone("a", 9)]).await.unwrap();
    let kept = cache.put_many(2, &[item("b", 5), item("a", 5)]).await;
    assert_eq!(kept.unwrap(), [("a".into(), stamp(5, 0))]);
    let ends = [("a".into(), stamp(8, 0)), ("b".into(), stamp(5, 0))];
    assert_eq!(cache.remove_many(2, &ends).await.unwrap(), ends[..1]);
    assert_eq!(stamp_of(&cache, "a").await, (stamp(9, 0), 1));
    assert!(matches!(get(&cache, "b").await, Lookup::Absent));
    assert!(
        cache
            .put_many(2, &[item("a", 10)])
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(stamp_of(&cache, "a").await, (stamp(10, 0), 2));
}

#[tokio::test]
async fn i3_a_removal_leaves_what_is_newer_and_says_so() {
    let (_server, cache) = started();
    let name = |n: u64| format!("k{n}");
    let write = |n: u64| match n % 2 {
        0 => item(&name(n), 5),
        _ => item_alone(&name(n), 5),
    };
    cache
        .put_many(7, &(0..450).map(write).collect::<Vec<_>>())
        .await
        .unwrap();
    let end = |n: u64| (Key::from(name(n)), stamp(4 + n % 3, 0));
    let ends: Vec<(Key, Stamp)> = (0..450).map(end).collect();
    let kept = cache.remove_many(7, &ends).await.unwrap();
    // Of its own stamp there is a tombstone, which is not the item's end.
    let stays = |n: u64| matches!((n % 2, n % 3), (_, 0) | (1, 1));
    let alone = (0..450).filter(|n| n % 2 == 1 && stays(*n));
    let newer: Vec<_> = alone.map(end).collect();
    assert_eq!(kept, newer, "what the cache alone keeps");
    let keys: Vec<Key> = ends.into_iter().map(|(key, _)| key).collect();
    for (at, exists) in cache
        .exist_many(&keys)
        .await
        .unwrap()
        .into_iter()
        .enumerate()
    {
        assert_eq!(exists, stays(at as u64), "k{at}");
    }
    // Of an earlier life, that the archive knows better: it goes, whatever its stamp.
    assert!(
        cache
            .remove_many(8, &[end(0), end(6)])
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(cache.exist_many(&[name(0).into()]).await.unwrap(), [false]);
}

#[tokio::test]
async fn among_generations_of_two_archives_the_stamp_decides() {
    let (_server, cache) = started();
    for (old, new) in [(1 << 32 | 7, 2 << 32 | 8), (2 << 32 | 8, 1 << 32 | 7)] {
        cache.put_many(old, &[item("a", 9)]).await.unwrap();
        cache.put_many(new, &[item("a", 5)]).await.unwrap();
        assert_eq!(stamp_of(&cache, "a").await, (stamp(9, 0), old));
        cache.put_many(new, &[item("a", 10)]).await.unwrap();
        assert_eq!(stamp_of(&cache, "a").await, (stamp(10, 0), new));
        cache
            .remove_many(new, &[("a".into(), stamp(99, 0))])
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn i3_racing_writers_leave_the_greatest_stamp() {
    let (server, cache) = started();
    let other = Arc::new(self::cache(&server));
    let cache = Arc::new(cache);
    let writers = (0..8u64).map(|writer| {
        let cache = if writer % 2 == 0 {
            cache.clone()
        } else {
            other.clone()
        };
        tokio::spawn(async move {
            for round in 0..20u64 {
                let writes: Vec<_> = (0..50u64)
                    .map(|key| {
                        item_at(
                            &format!("k{key}"),
                            stamp(fastrand::u64(..1000), writer),
                            vec![round as u8],
                        )
                    })
                    .chain((0..50u64).map(|key| {
                        item_at(
                            &format!("k{key}"),
                            stamp(key + 2000 + round * 8 + writer, writer),
                            "z",
                        )
                    }))
                    .collect();
                cache.put_many(1, &writes).await.unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    for key in 0..50u64 {
        assert_eq!(
            stamp_of(&cache, &format!("k{key}")).await.0,
            stamp(key + 2000 + 19 * 8 + 7, 7)
        );
    }
}
