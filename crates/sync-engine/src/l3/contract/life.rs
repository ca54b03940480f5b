//! Closing and opening again.

use super::{Bed, all, dead, fixed, honest, hundred, node, open, put, stamp};
use crate::item::key::Key;
use crate::item::stamp::HlcTime;
use crate::l3::{ArchiveError, CommitPlan, KeyRange, MetaKey};
use crate::merkle::node::NodeWrite;

pub async fn after_close_every_call_is_closed(bed: &dyn Bed) {
    let archive = open(bed).await;
    put(&*archive, &[dead("a", stamp(1, 0))]).await;
    archive.close().await.unwrap();
    macro_rules! is_closed {
        ($($call:expr),* $(,)?) => {
            $(
                let answer = $call.await;
                assert!(matches!(answer, Err(ArchiveError::Closed)), "{}: {answer:?}", stringify!($call));
            )*
        };
    }
    let (range, keys) = (KeyRange::all(), [Key::from("a")]);
    is_closed!(
        archive.open(),
        archive.commit(vec![], honest(&[])),
        archive.get_many(&keys),
        archive.leaves_of(&keys),
        archive.scan(&range, 1, 1),
        archive.scan_leaves(&range, 1),
        archive.count_live(&range, 0),
        archive.expired(0, 1),
        archive.tombstones(HlcTime(1), None, 1),
        archive.load_tree(),
        archive.rebuild_tree(),
        archive.meta(MetaKey::Identity),
        archive.set_meta(MetaKey::Identity, vec![]),
        archive.raise_clock_bound(HlcTime(1)),
        archive.ping(),
        archive.close(),
    );
}

pub async fn reopened_it_has_everything(bed: &dyn Bed) {
    let archive = open(bed).await;
    let records = hundred(&*archive).await;
    let plan = CommitPlan {
        nodes: vec![NodeWrite::Put(node(b"k", 100, false))],
        tree_seq: 3,
        ..CommitPlan::default()
    };
    archive.commit(vec![], fixed(plan)).await.unwrap();
    archive
        .set_meta(MetaKey::Identity, b"me".to_vec())
        .await
        .unwrap();
    archive.close().await.unwrap();
    let again = open(bed).await;
    assert_eq!(all(&*again).await, records);
    let tree = again.load_tree().await.unwrap();
    assert_eq!(tree, (vec![node(b"k", 100, false)], 3));
    assert_eq!(
        again.meta(MetaKey::Identity).await.unwrap(),
        Some(b"me".to_vec())
    );
}
