use std::fs;

use async_trait::async_trait;
use tempfile::TempDir;

use super::*;
use crate::env::RealEnv;
use crate::item::SyncItem;
use crate::item::stamp::{Origin, Stamp};
use crate::l3::contract::{self, Bed};

struct InFile(TempDir);

impl InFile {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("archive.db")
    }

    fn archive(&self) -> SqliteArchive {
        SqliteArchive::new(self.path(), Arc::new(RealEnv::default()))
    }

    /// Opens what is there and hands over the complaint, which must name the file.
    async fn damage(&self) -> String {
        match self.archive().open().await {
            Err(error @ ArchiveError::Damaged { .. }) => {
                let shown = error.to_string();
                assert!(shown.contains("archive.db is damaged: "), "{shown}");
                shown
            }
            other => panic!("{other:?}"),
        }
    }
}

#[async_trait]
impl Bed for InFile {
    async fn archive(&self) -> Arc<dyn ArchiveStore> {
        Arc::new(InFile::archive(self))
    }
}

contract::archive_contract!(InFile::new());

fn records(n: usize) -> Vec<Stored> {
    let record = |n| {
        let item = SyncItem::new(format!("key.{n}"), vec![7; 500]);
        Stored::Live(item.edit(|fields| {
            fields.stamp = Stamp {
                time: HlcTime(1),
                origin: Origin::default(),
            }
        }))
    };
    (0..n).map(record).collect()
}

async fn filled(bed: &InFile) {
    let archive = bed.archive();
    archive.open().await.unwrap();
    let records = records(200);
    let plan = contract::honest(&records);
    archive.commit(records, plan).await.unwrap();
    archive.close().await.unwrap();
}

#[tokio::test]
async fn a_second_opening_finds_it_in_use() {
    let bed = InFile::new();
    let first = bed.archive();
    first.open().await.unwrap();
    let refused = bed.archive().open().await;
    let Err(ArchiveError::InUse { what }) = &refused else {
        panic!("{refused:?}");
    };
    assert!(what.ends_with("archive.db"), "{what}");
    // Under another name it is the same file.
    let alias = bed.0.path().join("alias.db");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(bed.path(), &alias).unwrap();
        let aliased = SqliteArchive::new(alias, Arc::new(RealEnv::default()));
        let refused = aliased.open().await;
        assert!(
            matches!(refused, Err(ArchiveError::InUse { .. })),
            "{refused:?}"
        );
    }
    first.ping().await.unwrap();
    first.close().await.unwrap();
    bed.archive().open().await.unwrap();
}

#[tokio::test]
async fn a_closed_archive_leaves_one_file_and_its_lock() {
    let bed = InFile::new();
    filled(&bed).await;
    let mut names: Vec<_> = fs::read_dir(bed.0.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["archive.db", "archive.db.lock"]);
}

#[tokio::test]
async fn the_fingerprint_is_the_files() {
    let bed = InFile::new();
    let first = bed.archive();
    let fingerprint = first.open().await.unwrap().fingerprint;
    first.close().await.unwrap();
    let again = bed.archive();
    assert_eq!(again.open().await.unwrap().fingerprint, fingerprint);
    again.close().await.unwrap();
    fs::copy(bed.path(), bed.0.path().join("copy")).unwrap();
    fs::rename(bed.0.path().join("copy"), bed.path()).unwrap();
    let copy = bed.archive().open().await.unwrap().fingerprint;
    assert_ne!(copy, fingerprint);
}

#[tokio::test]
async fn a_file_cut_off_anywhere_is_damaged_and_left_alone() {
    let bed = InFile::new();
    filled(&bed).await;
    let whole = fs::read(bed.path()).unwrap();
    for kept in [
        0,
        1,
        50,
        100,
        1000,
        4096,
        5000,
        whole.len() / 2,
        whole.len() - 4096,
    ] {
        fs::write(bed.path(), &whole[..kept]).unwrap();
        bed.damage().await;
        assert_eq!(fs::read(bed.path()).unwrap(), &whole[..kept], "{kept}");
    }
    fs::write(bed.path(), &whole).unwrap();
    bed.archive().open().await.unwrap();
}

#[tokio::test]
async fn a_text_file_is_damaged_and_left_alone() {
    let bed = InFile::new();
    for text in ["hello".to_owned(), "dear diary, ".repeat(1000)] {
        fs::write(bed.path(), &text).unwrap();
        bed.damage().await;
        assert_eq!(fs::read_to_string(bed.path()).unwrap(), text);
    }
}

#[tokio::test]
async fn another_programs_database_is_refused_and_left_alone() {
    let bed = InFile::new();
    let conn = Connection::open(bed.path()).unwrap();
    conn.execute_batch("CREATE TABLE items (id TEXT)").unwrap();
    conn.close().unwrap();
    let before = fs::read(bed.path()).unwrap();
    let shown = bed.damage().await;
    assert!(shown.contains("not an archive of this program"), "{shown}");
    assert_eq!(fs::read(bed.path()).unwrap(), before);
}

#[tokio::test]
async fn other_tables_and_other_layouts_are_refused() {
    for (change, complaint) in [
        ("PRAGMA user_version = 99", "layout 99"),
        (
            "ALTER TABLE items RENAME COLUMN hash TO h",
            "items is not as",
        ),
        ("DROP INDEX items_expiry", "items_expiry is not as"),
    ] {
        let bed = InFile::new();
        filled(&bed).await;
        let conn = Connection::open(bed.path()).unwrap();
        conn.execute_batch(change).unwrap();
        conn.close().unwrap();
        let shown = bed.damage().await;
        assert!(shown.contains(complaint), "{shown}");
    }
}

#[tokio::test]
async fn a_log_without_its_file_is_damage() {
    let bed = InFile::new();
    fs::write(bed.0.path().join("archive.db-wal"), b"left over").unwrap();
    let shown = bed.damage().await;
    assert!(shown.contains("archive.db-wal"), "{shown}");
    assert!(!bed.path().exists());
}

#[tokio::test]
async fn a_crash_while_it_was_made_leaves_nothing_in_the_way() {
    let bed = InFile::new();
    fs::write(bed.0.path().join("archive.db.new"), b"half").unwrap();
    fs::write(bed.0.path().join("archive.db.new-journal"), b"half").unwrap();
    filled(&bed).await;
}

#[tokio::test]
async fn an_unfit_row_is_named() {
    for (change, what, how) in [
        (
            "UPDATE items SET hash = X'00' WHERE id = 'key.7'",
            "table items, key \"key.7\"",
            "hash is 1 bytes",
        ),
        (
            "UPDATE items SET live = 2 WHERE id = 'key.7'",
            "table items, key \"key.7\"",
            "live is neither",
        ),
        (
            "UPDATE items SET route = 9 WHERE id = 'key.7'",
            "table items, key \"key.7\"",
            "route is none",
        ),
        (
            "UPDATE items SET id = CAST(X'6bff' AS TEXT) WHERE id = 'key.7'",
            "table items",
            "id the key is not UTF-8",
        ),
        (
            "INSERT INTO meta VALUES ('tree_seq', X'00')",
            "table meta, key \"tree_seq\"",
            "1 bytes",
        ),
    ] {
        let bed = InFile::new();
        filled(&bed).await;
        let conn = Connection::open(bed.path()).unwrap();
        conn.execute_batch(change).unwrap();
        conn.close().unwrap();
        let archive = bed.archive();
        archive.open().await.unwrap();
        let rows = archive
            .scan(&KeyRange::all(), 1000, usize::MAX)
            .await
            .map(drop);
        let error = match rows {
            Ok(()) => archive.load_tree().await.map(drop).unwrap_err(),
            Err(error) => error,
        };
        let shown = error.to_string();
        assert!(matches!(error, ArchiveError::Damaged { .. }), "{shown}");
        assert!(shown.contains(what) && shown.contains(how), "{shown}");
    }
}

#[tokio::test]
async fn a_row_that_is_refused_leaves_all_as_it_was() {
    let bed = InFile::new();
    let archive = bed.archive();
    archive.open().await.unwrap();
    let conn = Connection::open(bed.path()).unwrap();
    conn.execute_batch(
        "CREATE TRIGGER watch BEFORE INSERT ON items WHEN NEW.id = 'b'
         BEGIN SELECT RAISE(ABORT, 'a secret'); END",
    )
    .unwrap();
    let record = |key: &str| Stored::Live(SyncItem::new(key, vec![1]));
    let records: Vec<Stored> = ["a", "b", "c"].map(record).to_vec();
    let plan = contract::honest(&records);
    let refused = archive.commit(records.clone(), plan).await;
    let Err(error @ ArchiveError::Refused { .. }) = &refused else {
        panic!("{refused:?}")
    };
    assert!(!error.to_string().contains("secret"), "{error}");
    let found = archive.scan(&KeyRange::all(), 10, 1 << 20).await.unwrap();
    assert_eq!(found, []);
    let plan = contract::honest(&records[..1]);
    archive.commit(records[..1].to_vec(), plan).await.unwrap();
}

#[tokio::test]
async fn a_node_that_cannot_be_read_is_no_part_of_a_tree() {
    let bed = InFile::new();
    filled(&bed).await;
    let conn = Connection::open(bed.path()).unwrap();
    conn.execute_batch("INSERT INTO merkle VALUES (X'61', 1, X'00', 0)")
        .unwrap();
    conn.close().unwrap();
    let archive = bed.archive();
    archive.open().await.unwrap();
    let error = archive.load_tree().await.unwrap_err();
    let shown = error.to_string();
    assert!(matches!(error, ArchiveError::TreeBroken { .. }), "{shown}");
    assert!(
        shown.contains("key \"a\"") && shown.contains("sum is 1 bytes"),
        "{shown}"
    );
}

#[tokio::test]
async fn a_missing_folder_is_named_and_a_call_before_open_is_an_error() {
    let bed = InFile::new();
    let path = bed.0.path().join("missing/archive.db");
    let archive = SqliteArchive::new(path, Arc::new(RealEnv::default()));
    assert!(matches!(
        archive.ping().await,
        Err(ArchiveError::Unavailable { .. })
    ));
    let error = archive.open().await.unwrap_err();
    assert!(matches!(error, ArchiveError::Unavailable { .. }), "{error}");
    assert!(error.to_string().contains("missing/archive.db"), "{error}");
}

/// A reader that holds its snapshot must not make a commit wait, nor see it.
#[tokio::test]
async fn reads_run_beside_commits() {
    let bed = InFile::new();
    let archive = Arc::new(bed.archive());
    archive.open().await.unwrap();
    let batch = records(100);
    let plan = contract::honest(&batch);
    let inner = archive.clone();
    let handle = tokio::runtime::Handle::current();
    let planner: Planner = Box::new(move |view| {
        // Inside the write transaction: the reader answers, with what was there before.
        let seen = handle
            .block_on(inner.count_live(&KeyRange::all(), 0))
            .unwrap();
        assert_eq!(seen, 0);
        plan(view)
    });
    archive.commit(batch, planner).await.unwrap();
    assert_eq!(archive.count_live(&KeyRange::all(), 0).await.unwrap(), 100);
}

/// What a killed process leaves is the file and its log as they were: every commit that returned is in them, and a
/// log cut off in the last commit has all commits before it.
#[tokio::test]
async fn an_unclean_stop_keeps_whole_commits() {
    let bed = InFile::new();
    let archive = bed.archive();
    archive.open().await.unwrap();
    let batch = records(40);
    for part in batch.chunks(10) {
        let plan = contract::honest(part);
        archive.commit(part.to_vec(), plan).await.unwrap();
    }
    let log = fs::read(bed.0.path().join("archive.db-wal")).unwrap();
    for (kept, rows) in [(log.len(), 40), (log.len() - 100, 30), (0, 0)] {
        let left = InFile::new();
        fs::copy(bed.path(), left.path()).unwrap();
        fs::write(left.0.path().join("archive.db-wal"), &log[..kept]).unwrap();
        let again = left.archive();
        again.open().await.unwrap();
        let found = again.scan(&KeyRange::all(), 100, usize::MAX).await.unwrap();
        assert_eq!(found.len(), rows);
        assert!(batch[..rows].iter().all(|record| found.contains(record)));
    }
}
