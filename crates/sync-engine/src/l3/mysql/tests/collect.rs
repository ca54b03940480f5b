//! Tombstones on a server: found and removed by an index, however many rows there are.

use super::*;
use crate::l3::columns::LEAF;
use crate::l3::mysql::{commit, read};

/// The statement with these in place of its question marks.
fn filled(sql: &str, values: &[String]) -> String {
    let mut values = values.iter();
    let parts = sql.split('?').map(str::to_owned);
    parts
        .reduce(|text, part| text + values.next().expect("a value for each mark") + &part)
        .unwrap()
}

#[tokio::test]
async fn tombstones_are_found_by_their_index_and_removed_by_their_keys() {
    let bed = OnServer::new();
    let archive = bed.archive();
    archive.open().await.unwrap();
    let mut batch = records(6_000, 1, 100);
    for (n, row) in batch.iter_mut().enumerate().filter(|(n, _)| n % 20 == 0) {
        let (key, mut stamp) = (row.key().clone(), row.stamp());
        stamp.time = HlcTime(100 + n as u64);
        *row = Stored::Tombstone { key, stamp };
    }
    put(&archive, batch.clone()).await.unwrap();
    SERVER.sql(&bed.url, "ANALYZE TABLE items").unwrap();
    let list = format!("SELECT {LEAF} FROM items WHERE {} LIMIT ?", read::DEAD);
    let values = ["300", "2000", "300", "'key.00200'", "50"].map(String::from);
    let plan = format!("EXPLAIN {}", filled(&list, &values));
    let plan = SERVER.sql(&bed.url, &plan).unwrap();
    assert!(plan.contains("\titems_dead\t"), "{plan}");
    assert!(!plan.contains("filesort"), "{plan}");

    let doomed: Vec<Stored> = batch.iter().step_by(20).take(64).cloned().collect();
    let keys = doomed.iter().map(|row| format!("'{}'", row.key()));
    let stamps = doomed.iter().flat_map(|row| {
        let (key, stamp) = (format!("'{}'", row.key()), row.stamp());
        [
            key,
            stamp.time.0.to_string(),
            stamp.origin.raw().to_string(),
        ]
    });
    let values: Vec<String> = keys.chain(stamps).collect();
    let plan = format!("EXPLAIN {}", filled(&commit::removal(64), &values));
    let plan = SERVER.sql(&bed.url, &plan).unwrap();
    let is_by_key = plan.contains("\trange\tPRIMARY") || plan.contains("\titems_dead\t");
    assert!(is_by_key, "{plan}");

    let found = archive.tombstones(HlcTime(1_000), None, 1_000).await;
    assert_eq!(found.unwrap().len(), 46);
    let done = archive.commit(
        doomed.clone(),
        Box::new(|view| {
            Ok(crate::l3::CommitPlan {
                rows: vec![RowAction::Remove; view.olds.len()],
                ..Default::default()
            })
        }),
    );
    done.await.unwrap();
    let keys: Vec<Key> = batch.iter().map(|row| row.key().clone()).collect();
    let left = archive.leaves_of(&keys).await.unwrap();
    assert_eq!(left.iter().flatten().count(), 6_000 - 64);
}
