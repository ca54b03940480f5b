//! What goes in comes out.

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use super::{Bed, all, get, live, open, put, stamp};
use crate::item::decide::{Decision, decide};
use crate::item::key::Key;
use crate::item::options::{CacheTtl, SubmitOptions};
use crate::item::{ContentType, Stored, SyncItem};
use crate::l3::MetaKey;

pub async fn what_was_put_is_read_bit_for_bit(bed: &dyn Bed) {
    let archive = open(bed).await;
    let mut runner = TestRunner::deterministic();
    let strategy = crate::item::codec::tests::stored();
    let mut newest = std::collections::BTreeMap::new();
    for _ in 0..300 {
        let record = strategy.new_tree(&mut runner).unwrap().current();
        put(&*archive, std::slice::from_ref(&record)).await;
        let ours = newest.get(record.key()).map(Stored::leaf);
        if decide(ours.as_ref(), &record.leaf()) == Decision::Take {
            newest.insert(record.key().clone(), record);
        }
    }
    let expected: Vec<Stored> = newest.into_values().collect();
    assert_eq!(all(&*archive).await, expected);
    let keys: Vec<Key> = expected.iter().map(|record| record.key().clone()).collect();
    let got = archive.get_many(&keys).await.unwrap();
    assert_eq!(got, expected.iter().cloned().map(Some).collect::<Vec<_>>());
}

pub async fn every_payload_comes_back(bed: &dyn Bed) {
    let archive = open(bed).await;
    let frame = zstd::encode_all(&b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"[..], 3).unwrap();
    let large: Vec<u8> = (0..16u32 << 20).map(|n| ((n * 31) >> 3) as u8).collect();
    let payloads = [
        Vec::new(),
        frame,
        vec![0xff, 0xfe, 0x80, 0xc3, 0x28],
        vec![0],
        b"'; DROP TABLE items; -- \\' %_".to_vec(),
        b"{ \"b\" : 1.0,\n \"a\": 1e400 }".to_vec(),
        (0..=255).collect(),
        large,
    ];
    let records: Vec<Stored> = (0u8..)
        .zip(payloads)
        .map(|(n, payload)| live(&format!("k{n}"), payload, stamp(1, 0)))
        .collect();
    put(&*archive, &records).await;
    assert!(all(&*archive).await == records);
}

pub async fn every_key_is_its_own(bed: &dyn Bed) {
    let archive = open(bed).await;
    let long = "x".repeat(1024);
    let long_too = format!("{}y", "x".repeat(1023));
    let wide = "東".repeat(341);
    // Same to a collation that folds case, accents, widths or trailing blanks.
    let keys = [
        "a",
        "A",
        "á",
        "a\u{301}",
        "a ",
        "a  ",
        "a.",
        "a.b",
        "a.b.c",
        "ab",
        "a%",
        "a_",
        "a%b",
        "a_b",
        "ß",
        "ss",
        "ｱ",
        "ア",
        "İ",
        "i",
        "I",
        "ı",
        "'",
        "\"",
        "\\",
        "🦀",
        "\u{10ffff}",
        &long,
        &long_too,
        &wide,
    ];
    let records: Vec<Stored> = keys
        .iter()
        .map(|key| live(key, key.as_bytes().to_vec(), stamp(1, 0)))
        .collect();
    assert_eq!(put(&*archive, &records).await, vec![true; keys.len()]);
    assert_eq!(all(&*archive).await.len(), keys.len());
    for (key, record) in keys.iter().zip(records) {
        assert_eq!(get(&*archive, key).await, Some(record), "{key:?}");
    }
    assert_eq!(get(&*archive, "a_c").await, None);
}

pub async fn extreme_numbers_come_back(bed: &dyn Bed) {
    let archive = open(bed).await;
    let extremes = [
        (u64::MAX, i64::MIN, Some(i64::MAX)),
        (0, i64::MAX, Some(i64::MIN)),
        (1 << 63, -1, Some(-1)),
        ((1 << 63) - 1, 0, Some(0)),
        (7, 0, None),
    ];
    let mut records = Vec::new();
    for (n, (version, updated_at, expires_at)) in (0u64..).zip(extremes) {
        let ttl = [
            CacheTtl::Custom(1),
            CacheTtl::Custom(u64::MAX),
            CacheTtl::Week,
        ];
        let item = SyncItem::new(format!("k{n}").as_str(), vec![1])
            .with_content_type(ContentType::Json)
            .edit(|fields| {
                fields.stamp = stamp(u64::MAX - n, n);
                fields.version = version;
                fields.updated_at = updated_at;
                fields.expires_at = expires_at;
                fields.submit_options = SubmitOptions {
                    redis_ttl: ttl.get(n as usize).copied(),
                    ..SubmitOptions::durable()
                };
                // Empty is not absent.
                fields.batch_id = Some("".into());
                fields.state = "".into();
                fields.trace_state = (n == 1).then(|| "x".repeat(1024).into());
            });
        records.push(Stored::Live(item));
    }
    put(&*archive, &records).await;
    assert_eq!(all(&*archive).await, records);
}

pub async fn small_values_are_kept(bed: &dyn Bed) {
    let archive = open(bed).await;
    let filter: Vec<u8> = (0..1u32 << 20).map(|n| (n >> 5) as u8).collect();
    assert_eq!(archive.meta(MetaKey::Filter).await.unwrap(), None);
    archive
        .set_meta(MetaKey::Filter, filter.clone())
        .await
        .unwrap();
    archive
        .set_meta(MetaKey::Generation, b"1".to_vec())
        .await
        .unwrap();
    archive
        .set_meta(MetaKey::Generation, Vec::new())
        .await
        .unwrap();
    assert_eq!(archive.meta(MetaKey::Filter).await.unwrap(), Some(filter));
    assert_eq!(
        archive.meta(MetaKey::Generation).await.unwrap(),
        Some(vec![])
    );
    assert_eq!(archive.meta(MetaKey::Identity).await.unwrap(), None);
}
