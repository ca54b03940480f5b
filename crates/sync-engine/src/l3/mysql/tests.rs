use std::sync::LazyLock;
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use testbed::{MariaDb, PASSWORD};

use super::*;
use crate::env::RealEnv;
use crate::item::SyncItem;
use crate::item::stamp::{Origin, Stamp};
use crate::l3::contract::{self, Bed};

mod collect;

mod packets;

/// One server for all tests that do not harm it.
static SERVER: LazyLock<MariaDb> = LazyLock::new(|| MariaDb::start().unwrap());

struct OnServer {
    url: String,
}

impl OnServer {
    fn new() -> Self {
        Self::on(&SERVER)
    }

    fn on(server: &MariaDb) -> Self {
        let url = server.fresh_database().unwrap();
        Self { url }
    }

    fn archive(&self) -> MysqlArchive {
        archive(&self.url)
    }
}

fn archive(url: &str) -> MysqlArchive {
    MysqlArchive::from_url(&url.into(), Arc::new(RealEnv::default())).unwrap()
}

/// Gives up soon, for tests that wait for it.
fn impatient(url: &str) -> MysqlArchive {
    let mut archive = archive(url);
    archive.limits = Limits {
        connect: Duration::from_secs(3),
        query: Duration::from_secs(4),
        lock_secs: 1,
    };
    archive
}

#[async_trait]
impl Bed for OnServer {
    async fn archive(&self) -> Arc<dyn ArchiveStore> {
        Arc::new(OnServer::archive(self))
    }
}

contract::archive_contract!(OnServer::new());

fn record(n: usize, time: u64, bytes: usize) -> Stored {
    let item = SyncItem::new(format!("key.{n:05}"), vec![n as u8; bytes]);
    Stored::Live(item.edit(|fields| {
        fields.stamp = Stamp {
            time: HlcTime(time),
            origin: Origin::default(),
        }
    }))
}

fn records(n: usize, time: u64, bytes: usize) -> Vec<Stored> {
    (0..n).map(|n| record(n, time, bytes)).collect()
}

async fn put(archive: &MysqlArchive, records: Vec<Stored>) -> Result<Vec<RowAction>, ArchiveError> {
    let plan = contract::honest(&records);
    archive.commit(records, plan).await
}

/// An outage, told in time and without the password.
fn assert_outage<T: fmt::Debug>(answer: Result<T, ArchiveError>) {
    let Err(error @ ArchiveError::Unavailable { .. }) = &answer else {
        panic!("{answer:?}")
    };
    let shown = format!("{error} {error:?} {error:#?}");
    assert!(
        shown.contains("127.0.0.1:") && !shown.contains(PASSWORD),
        "{shown}"
    );
}

#[tokio::test]
async fn a_large_batch_is_one_commit_in_many_statements() {
    let bed = OnServer::new();
    let archive = bed.archive();
    archive.open().await.unwrap();
    let batch = records(3000, 1, 100);
    assert_eq!(
        put(&archive, batch.clone()).await.unwrap(),
        vec![RowAction::Put; 3000]
    );
    let found = archive
        .scan(&KeyRange::all(), usize::MAX, usize::MAX)
        .await
        .unwrap();
    assert_eq!(found, batch);
    let keys: Vec<Key> = batch.iter().map(|record| record.key().clone()).collect();
    assert!(
        archive
            .get_many(&keys)
            .await
            .unwrap()
            .into_iter()
            .flatten()
            .eq(batch)
    );
    // Once more the same: nothing wins.
    assert_eq!(
        put(&archive, records(3000, 1, 100)).await.unwrap(),
        vec![RowAction::Leave; 3000]
    );
}

/// The server says no to a row; the connection and the rest of the archive are as good as before.
#[tokio::test]
async fn a_row_that_is_refused_leaves_all_as_it_was() {
    let bed = OnServer::new();
    let archive = bed.archive();
    archive.open().await.unwrap();
    let watch = "ALTER TABLE items ADD CONSTRAINT watch CHECK (id <> 'key.00003')";
    SERVER.sql(&bed.url, watch).unwrap();
    let refused = put(&archive, records(10, 1, 100)).await;
    let Err(error @ ArchiveError::Refused { .. }) = &refused else {
        panic!("{refused:?}")
    };
    assert!(error.to_string().contains("SQLSTATE 23000"), "{error}");
    let found = archive.scan(&KeyRange::all(), 100, 1 << 20).await.unwrap();
    assert_eq!(found, []);
    put(&archive, records(3, 1, 100)).await.unwrap();
}

#[tokio::test]
async fn a_server_that_dies_is_an_outage_and_is_found_again_after_its_restart() {
    let server = MariaDb::start().unwrap();
    let bed = OnServer::on(&server);
    let archive = impatient(&bed.url);
    archive.open().await.unwrap();
    put(&archive, records(10, 1, 100)).await.unwrap();
    server.kill().unwrap();
    assert_outage(archive.ping().await);
    assert_outage(put(&archive, records(10, 2, 100)).await);
    assert_outage(archive.get_many(&["key.00001".into()]).await);
    assert_outage(archive.load_tree().await);
    assert_outage(impatient(&bed.url).open().await);
    server.restart().unwrap();
    put(&archive, records(10, 3, 100)).await.unwrap();
    assert_eq!(
        archive.scan(&KeyRange::all(), 100, 1 << 20).await.unwrap(),
        records(10, 3, 100)
    );
}

#[tokio::test]
async fn idle_connections_that_ended_are_replaced_without_an_error() {
    let server = MariaDb::start().unwrap();
    let bed = OnServer::on(&server);
    let archive = bed.archive();
    archive.open().await.unwrap();
    put(&archive, records(3, 1, 100)).await.unwrap();
    server.restart().unwrap();
    // Long enough that a sign of life is asked for.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    archive.ping().await.unwrap();
    put(&archive, records(3, 2, 100)).await.unwrap();
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_an_error_within_the_time_limit() {
    let server = MariaDb::start().unwrap();
    let bed = OnServer::on(&server);
    let archive = impatient(&bed.url);
    archive.open().await.unwrap();
    put(&archive, records(10, 1, 100)).await.unwrap();
    server.pause().unwrap();
    let started = Instant::now();
    let range = KeyRange::all();
    let many: Vec<_> = (0..20).map(|_| archive.count_live(&range, 0)).collect();
    let (counts, commit) = futures_util::future::join(
        futures_util::future::join_all(many),
        put(&archive, records(10, 2, 100)),
    )
    .await;
    counts.into_iter().for_each(assert_outage);
    assert_outage(commit);
    assert!(
        started.elapsed() < Duration::from_secs(24),
        "{:?}",
        started.elapsed()
    );
    server.resume().unwrap();
    put(&archive, records(10, 3, 100)).await.unwrap();
    assert_eq!(
        archive.scan(&KeyRange::all(), 100, 1 << 20).await.unwrap(),
        records(10, 3, 100)
    );
}

#[tokio::test]
async fn a_lock_that_is_not_given_is_an_outage() {
    let bed = OnServer::new();
    let archive = impatient(&bed.url);
    archive.open().await.unwrap();
    let opts = mysql_async::Opts::from_url(&bed.url).unwrap();
    let mut other = mysql_async::Conn::new(opts).await.unwrap();
    other.query_drop("START TRANSACTION").await.unwrap();
    other
        .query_drop("SELECT value FROM meta WHERE name = 'tree_seq' FOR UPDATE")
        .await
        .unwrap();
    let answer = put(&archive, records(1, 1, 10)).await;
    let Err(error) = &answer else {
        panic!("{answer:?}")
    };
    assert!(error.to_string().contains("1205"), "{error}");
    assert_outage(answer);
    other.query_drop("ROLLBACK").await.unwrap();
    put(&archive, records(1, 1, 10)).await.unwrap();
}

/// Engines that share a database: every commit sees the number that the one before it wrote, and none deadlocks.
#[tokio::test]
async fn commits_of_several_engines_are_in_line() {
    let bed = OnServer::new();
    let engines: Vec<Arc<MysqlArchive>> = (0..4).map(|_| Arc::new(bed.archive())).collect();
    for engine in &engines {
        engine.open().await.unwrap();
    }
    let work = (0..40u64).map(|n| {
        let engine = engines[n as usize % 4].clone();
        async move {
            let mut batch = records(20, n, 100);
            batch.rotate_left(n as usize % 20);
            let leaves: Vec<Leaf> = batch.iter().map(Stored::leaf).collect();
            let plan: Planner = Box::new(move |view| {
                let action = |(old, new): (&Option<Leaf>, &Leaf)| match old {
                    Some(old) if old.stamp >= new.stamp => RowAction::Leave,
                    _ => RowAction::Put,
                };
                Ok(crate::l3::CommitPlan {
                    rows: view.olds.iter().zip(&leaves).map(action).collect(),
                    tree_seq: view.tree_seq + 1,
                    clock_bound: HlcTime(n),
                    ..Default::default()
                })
            });
            engine.commit(batch, plan).await.unwrap();
        }
    });
    futures_util::future::join_all(work).await;
    assert_eq!(engines[0].load_tree().await.unwrap().1, 40);
    let found = engines[1]
        .scan(&KeyRange::all(), 100, 1 << 20)
        .await
        .unwrap();
    assert_eq!(found, records(20, 39, 100));
}

#[tokio::test]
async fn a_commit_whose_caller_goes_away_holds_nothing_up() {
    let bed = OnServer::new();
    let archive = bed.archive();
    archive.open().await.unwrap();
    for n in 0..30 {
        let mut commit = Box::pin(put(&archive, records(50, n, 1000)));
        let wait = Duration::from_micros(n * 200);
        drop(tokio::time::timeout(wait, &mut commit).await);
    }
    put(&archive, records(50, 100, 1000)).await.unwrap();
    let found = archive.scan(&KeyRange::all(), 100, 1 << 20).await.unwrap();
    assert_eq!(found, records(50, 100, 1000));
}

#[tokio::test]
async fn a_database_of_something_else_is_refused_and_left_as_it_is() {
    for (create, reason) in [
        (
            "CREATE TABLE items (id INT PRIMARY KEY, name TEXT)",
            "columns",
        ),
        (
            "CREATE TABLE meta (name VARBINARY(64) PRIMARY KEY, value LONGBLOB NOT NULL) ENGINE=MyISAM",
            "InnoDB",
        ),
    ] {
        let bed = OnServer::new();
        SERVER.sql(&bed.url, create).unwrap();
        let refused = bed.archive().open().await;
        let Err(error @ ArchiveError::Damaged { .. }) = &refused else {
            panic!("{refused:?}")
        };
        assert!(error.to_string().contains(reason), "{error}");
        assert_eq!(
            SERVER.sql(&bed.url, "SHOW TABLES").unwrap().lines().count(),
            1
        );
    }
}

#[tokio::test]
async fn another_layout_and_unfit_rows_are_damage() {
    let bed = OnServer::new();
    let archive = bed.archive();
    archive.open().await.unwrap();
    put(&archive, records(2, 1, 10)).await.unwrap();
    SERVER
        .sql(
            &bed.url,
            "UPDATE items SET hash = 'short' WHERE id = 'key.00001'",
        )
        .unwrap();
    let answer = archive.get_many(&["key.00001".into()]).await;
    let Err(error @ ArchiveError::Damaged { .. }) = &answer else {
        panic!("{answer:?}")
    };
    assert!(error.to_string().contains("key.00001"), "{error}");
    SERVER.sql(&bed.url, "DROP TABLE merkle").unwrap();
    assert!(matches!(
        archive.load_tree().await,
        Err(ArchiveError::Damaged { .. })
    ));
    SERVER
        .sql(
            &bed.url,
            "UPDATE meta SET value = UNHEX('0000000000000001') WHERE name = 'layout'; \
             ALTER TABLE items DROP COLUMN dead",
        )
        .unwrap();
    let refused = bed.archive().open().await;
    assert!(refused.unwrap_err().to_string().contains("layout 1"));
}

#[tokio::test]
async fn the_password_is_in_no_message() {
    let wrong = SERVER.url().replace(PASSWORD, "wrong-s3cret");
    let archive = archive(&wrong);
    let answer = archive.open().await;
    let shown = format!("{answer:?} {archive:?} {}", answer.as_ref().unwrap_err());
    assert!(
        shown.contains("denied") && !shown.contains("wrong-s3cret"),
        "{shown}"
    );
    // The name of the other scheme connects as well.
    let other = SERVER
        .fresh_database()
        .unwrap()
        .replace("mysql://", "mariadb://");
    super::tests::archive(&other).open().await.unwrap();
}
