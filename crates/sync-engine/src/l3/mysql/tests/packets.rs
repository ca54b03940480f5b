//! What fits into a packet, and what becomes of the rest.

use super::*;
use crate::l3::CommitPlan;
use crate::merkle::node::{Aggregate, NodeRow, NodeWrite};

#[tokio::test]
async fn a_batch_larger_than_a_packet_is_split() {
    let server = MariaDb::start_with(&["--max-allowed-packet=2M"]).unwrap();
    let url = server.fresh_database().unwrap();
    let archive = archive(&url);
    archive.open().await.unwrap();
    let batch = records(12, 1, 1 << 20);
    put(&archive, batch.clone()).await.unwrap();
    assert_eq!(
        archive
            .scan(&KeyRange::all(), 100, usize::MAX)
            .await
            .unwrap(),
        batch
    );
}

#[tokio::test]
async fn the_server_s_packets_bound_the_payload_and_useless_ones_are_refused() {
    let server = MariaDb::start_with(&["--max-allowed-packet=1M"]).unwrap();
    let url = server.fresh_database().unwrap();
    let archive = archive(&url);
    archive.open().await.unwrap();
    let limit = archive.payload_bytes_max();
    assert!(limit > 900 << 10 && limit < 1 << 20, "{limit}");
    put(&archive, records(1, 1, limit)).await.unwrap();

    let server = MariaDb::start_with(&["--max-allowed-packet=64K"]).unwrap();
    let refused = super::archive(&server.fresh_database().unwrap())
        .open()
        .await;
    let Err(error) = &refused else {
        panic!("{refused:?}")
    };
    assert!(error.to_string().contains("max_allowed_packet"), "{error}");
    assert_outage(refused);
}

/// Long keys made statements that no packet held, and the batch they were in could never be committed.
#[tokio::test]
async fn long_keys_fit_the_smallest_packets() {
    let server = MariaDb::start_with(&["--max-allowed-packet=256K"]).unwrap();
    let archive = archive(&server.fresh_database().unwrap());
    archive.open().await.unwrap();
    let long = |n: usize| SyncItem::new(format!("{n:04}{}", "x".repeat(1020)), vec![1]);
    let short = |n: usize| SyncItem::new(format!("s{n}"), vec![1]);
    let stamp = Stamp {
        time: HlcTime(1),
        origin: Origin::default(),
    };
    let items = (0..700).map(long).chain((0..700).map(short));
    let records: Vec<Stored> = items
        .map(|item| Stored::Live(item.edit(|fields| fields.stamp = stamp)))
        .collect();
    let leaves: Vec<Leaf> = records.iter().map(Stored::leaf).collect();
    let nodes = records.iter().map(|record| NodeRow {
        prefix: record.key().as_bytes().to_vec(),
        aggregate: Aggregate::default(),
        split: false,
    });
    let plan = CommitPlan {
        rows: vec![RowAction::Put; 1400],
        nodes: nodes.map(NodeWrite::Put).collect(),
        ..CommitPlan::default()
    };
    let planned = archive
        .commit(records.clone(), Box::new(move |_| Ok(plan)))
        .await;
    planned.unwrap();
    let keys: Vec<Key> = records.iter().map(|record| record.key().clone()).collect();
    let found = archive.leaves_of(&keys).await.unwrap();
    assert_eq!(found, leaves.into_iter().map(Some).collect::<Vec<_>>());
    assert_eq!(archive.load_tree().await.unwrap().0.len(), 1400);
}
