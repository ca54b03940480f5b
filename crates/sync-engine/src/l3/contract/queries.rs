//! What the archive answers.

use super::{Bed, all, dead, expiring, get, hundred, keys_in, live, open, put, stamp};
use crate::item::key::Key;
use crate::item::{Leaf, Stored};
use crate::l3::KeyRange;

pub async fn keys_are_ordered_by_their_bytes(bed: &dyn Bed) {
    let archive = open(bed).await;
    let mut keys = [
        "a",
        "B",
        "a-",
        "a.",
        "a/",
        "a0",
        "a b",
        "aB",
        "ab",
        "ä",
        "z",
        "é",
        "\u{ffff}",
        "\u{10000}",
        "~",
        "_",
        "%",
    ];
    let records = keys.map(|key| dead(key, stamp(1, 0)));
    put(&*archive, &records).await;
    keys.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
    assert_eq!(keys_in(&*archive, &KeyRange::all()).await, keys);
}

pub async fn ranges_hold_what_they_say(bed: &dyn Bed) {
    let archive = open(bed).await;
    let keys = [
        "a", "a.", "a.%", "a.%x", "a.b", "a.b.c", "a._", "a.xx", "a0", "b", "ü", "üb",
    ];
    let records = keys.map(|key| dead(key, stamp(1, 0)));
    put(&*archive, &records).await;
    let expected = |range: &KeyRange| {
        let mut inside: Vec<&str> = keys
            .into_iter()
            .filter(|key| range.contains(key.as_bytes()))
            .collect();
        inside.sort_unstable();
        inside
    };
    let bounds = ["", "a", "a.", "a.%", "a.b", "a.b.c", "b", "ü", "ü\0", "zz"];
    for start in bounds {
        let prefix = KeyRange::prefix(start.as_bytes());
        assert_eq!(keys_in(&*archive, &prefix).await, expected(&prefix));
        let after = prefix.after(start.as_bytes());
        assert_eq!(keys_in(&*archive, &after).await, expected(&after));
        let rest = KeyRange::all().after(start.as_bytes());
        assert_eq!(keys_in(&*archive, &rest).await, expected(&rest));
        for end in bounds {
            let range = KeyRange {
                start: start.into(),
                end: Some(end.into()),
            };
            assert_eq!(keys_in(&*archive, &range).await, expected(&range));
        }
    }
}

pub async fn bounds_need_not_be_text(bed: &dyn Bed) {
    let archive = open(bed).await;
    let keys = ["a", "z", "é", "ü", "東京", "🦀", "\u{10ffff}"];
    put(
        &*archive,
        &keys.map(|key| live(key, b"1".to_vec(), stamp(1, 0))),
    )
    .await;
    let bounds: [&[u8]; 12] = [
        b"",
        b"a",
        b"a\0",
        b"\0",
        b"\x80",
        b"\xc3",
        b"\xc3\xbc",
        b"\xc3\xbc\0",
        b"\xe6\x9d",
        b"\xf0\x9f\xa6\xff",
        b"\xf4\x8f\xbf\xbf",
        b"\xff\xff",
    ];
    for start in bounds {
        for end in bounds.iter().map(|end| Some(end.to_vec())).chain([None]) {
            let range = KeyRange {
                start: start.to_vec(),
                end,
            };
            let expected: Vec<&str> = keys
                .into_iter()
                .filter(|key| range.contains(key.as_bytes()))
                .collect();
            assert_eq!(keys_in(&*archive, &range).await, expected, "{range:?}");
            let count = archive.count_live(&range, 0).await.unwrap();
            assert_eq!(count, expected.len() as u64, "{range:?}");
        }
    }
}

pub async fn a_scan_stops_at_its_limit(bed: &dyn Bed) {
    let archive = open(bed).await;
    let records = hundred(&*archive).await;
    for limit in [0, 1, 99, 100, 101, usize::MAX] {
        let rows = archive
            .scan(&KeyRange::all(), limit, usize::MAX)
            .await
            .unwrap();
        assert_eq!(rows, records[..limit.min(100)]);
        let leaves = archive.scan_leaves(&KeyRange::all(), limit).await.unwrap();
        assert_eq!(leaves.len(), limit.min(100));
    }
    // Page by page, all of it.
    let mut range = KeyRange::all();
    let mut pages = Vec::new();
    loop {
        let page = archive.scan(&range, 7, usize::MAX).await.unwrap();
        let Some(last) = page.last() else { break };
        range = range.after(last.key().as_bytes());
        pages.extend(page);
    }
    assert_eq!(pages, records);
}

pub async fn a_scan_stops_past_its_bytes_but_never_empty_handed(bed: &dyn Bed) {
    let archive = open(bed).await;
    let records = hundred(&*archive).await;
    // Each record is 100 bytes: the one that crosses the bound is still given.
    for (bytes_max, rows) in [
        (0, 1),
        (1, 1),
        (99, 1),
        (100, 2),
        (199, 2),
        (250, 3),
        (9_999, 100),
    ] {
        let found = archive
            .scan(&KeyRange::all(), 1_000, bytes_max)
            .await
            .unwrap();
        assert_eq!(found, records[..rows], "{bytes_max}");
    }
}

pub async fn tombstones_are_scanned_and_not_counted(bed: &dyn Bed) {
    let archive = open(bed).await;
    let records = [
        live("a", b"1".to_vec(), stamp(1, 0)),
        dead("b", stamp(1, 0)),
        live("c", b"3".to_vec(), stamp(1, 0)),
    ];
    put(&*archive, &records).await;
    put(&*archive, &[dead("c", stamp(2, 0))]).await;
    assert_eq!(keys_in(&*archive, &KeyRange::all()).await, ["a", "b", "c"]);
    let leaves = archive.leaves_of(&["b".into(), "c".into()]).await.unwrap();
    assert_eq!(
        leaves
            .iter()
            .flatten()
            .filter(|leaf| leaf.hash.is_none())
            .count(),
        2
    );
    assert_eq!(archive.count_live(&KeyRange::all(), 0).await.unwrap(), 1);
    put(&*archive, &[live("c", b"4".to_vec(), stamp(3, 0))]).await;
    assert_eq!(archive.count_live(&KeyRange::all(), 0).await.unwrap(), 2);
    let few = KeyRange::prefix(b"b");
    assert_eq!(archive.count_live(&few, 0).await.unwrap(), 0);
}

pub async fn the_expired_are_listed_and_not_counted(bed: &dyn Bed) {
    let archive = open(bed).await;
    let records = [
        live("never", b"1".to_vec(), stamp(1, 2)),
        expiring("at10", 10),
        expiring("at20", 20),
        expiring("at30", 30),
        expiring("killed", 5),
        expiring("always", i64::MIN),
    ];
    put(&*archive, &records).await;
    put(&*archive, &[dead("killed", stamp(2, 2))]).await;
    let range = KeyRange::all();
    for (now, live, gone) in [(9, 4, 1), (10, 3, 2), (20, 2, 3), (i64::MAX, 1, 4)] {
        assert_eq!(
            archive.count_live(&range, now).await.unwrap(),
            live,
            "{now}"
        );
        let longest_past_first = [&records[5], &records[1], &records[2], &records[3]];
        let expected = longest_past_first.map(|row| (row.key().clone(), row.leaf()));
        let expired = archive.expired(now, 100).await.unwrap();
        assert_eq!(expired, expected[..gone], "{now}");
        assert_eq!(archive.expired(now, 1).await.unwrap().len(), 1);
    }
    assert_eq!(archive.expired(0, 0).await.unwrap(), []);
    // A row that is past its end is still there: its tombstone is made by whoever asked.
    assert_eq!(get(&*archive, "at10").await, Some(records[1].clone()));
}

pub async fn answers_stand_in_the_order_asked(bed: &dyn Bed) {
    let archive = open(bed).await;
    let records = ["a", "b", "c"].map(|key| live(key, key.as_bytes().to_vec(), stamp(1, 0)));
    put(&*archive, &records).await;
    let asked = ["c", "x", "a", "c", "x", "b", "a"];
    let keys = asked.map(Key::from);
    let expected: Vec<Option<Stored>> = asked
        .iter()
        .map(|key| records.iter().find(|record| *record.key() == *key).cloned())
        .collect();
    assert_eq!(archive.get_many(&keys).await.unwrap(), expected);
    let leaves: Vec<Option<Leaf>> = expected
        .iter()
        .map(|row| row.as_ref().map(Stored::leaf))
        .collect();
    assert_eq!(archive.leaves_of(&keys).await.unwrap(), leaves);
}

pub async fn nothing_asked_is_nothing_answered(bed: &dyn Bed) {
    let archive = open(bed).await;
    assert!(archive.is_configured());
    archive.ping().await.unwrap();
    assert!(put(&*archive, &[]).await.is_empty());
    assert_eq!(archive.get_many(&[]).await.unwrap(), []);
    assert_eq!(archive.leaves_of(&[]).await.unwrap(), []);
    assert_eq!(all(&*archive).await, []);
    assert_eq!(archive.count_live(&KeyRange::all(), 0).await.unwrap(), 0);
    assert_eq!(archive.expired(i64::MAX, 9).await.unwrap(), []);
    assert_eq!(archive.load_tree().await.unwrap(), (vec![], 0));
}
