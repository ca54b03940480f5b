//! I8: a page of a list has a cap in bytes, and the pages together are the list.
#![allow(clippy::disallowed_methods)]

mod common;

use std::collections::BTreeMap;

use common::*;
use sync_engine::{SyncEngine, SyncItem};

const PAGE_BYTES: usize = 50_000;

/// The whole list, page by page; no page is over the caps.
async fn pages(engine: &SyncEngine, prefix: &str, limit: usize) -> Vec<SyncItem> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = engine.scan_prefix_page(prefix, after.as_deref(), limit, PAGE_BYTES);
        let page = page.await.unwrap();
        let bytes: usize = page.items.iter().map(|item| item.size_bytes()).sum();
        let alone = page.items.len() == 1;
        assert!(bytes <= PAGE_BYTES || alone, "{bytes} bytes on a page");
        assert!(page.items.len() <= limit);
        all.extend(page.items);
        match page.next {
            Some(next) => after = Some(next.to_string()),
            None => return all,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i8_pages_are_bounded_and_nothing_falls_between_them() {
    let dir = tempfile::tempdir().unwrap();
    let engine = started(unhurried(config(dir.path()))).await;
    let mut chance = chance(7);
    let mut expected = BTreeMap::new();
    // Stored, deleted and not yet stored, of all sizes, mixed.
    for round in 0..3 {
        for n in 0..200 {
            let id = format!("p.{n:03}");
            match chance.u32(0..10) {
                0..3 => {
                    engine.delete(&id).await.unwrap();
                    expected.remove(&id);
                }
                3..6 => {
                    let size = [0, 10, 3_000, 49_990, 70_000][chance.usize(0..5)];
                    let content = vec![chance.u8(..); size];
                    let item = SyncItem::new(id.as_str(), content.clone());
                    engine.submit(item).await.unwrap();
                    expected.insert(id, content);
                }
                _ => {}
            }
        }
        if round < 2 {
            engine.force_flush().await.unwrap();
        }
        for limit in [1, 7, 1000] {
            let listed = pages(&engine, "p.", limit).await;
            let listed = listed.iter();
            let listed = listed.map(|item| (item.object_id.to_string(), item.content.to_vec()));
            assert!(listed.eq(expected.clone()), "limit {limit}");
        }
    }
    let beyond = engine.scan_prefix_page("p.", Some("p.999"), 9, 1).await;
    assert_eq!(beyond.unwrap().items, []);
    let whole = engine.scan_prefix("p.", 1000).await.unwrap();
    assert_eq!(whole.len(), expected.len());
}
