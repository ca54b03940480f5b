//! A private MariaDB: its URL works for a real client, and it survives crashes as a real one does.
#![allow(clippy::disallowed_methods)]

use std::{net::TcpStream, time::Duration};

use mysql_async::{Conn, Opts, prelude::Queryable};
use testbed::{MariaDb, PASSWORD, TestbedError};

async fn connect(url: &str) -> mysql_async::Result<Conn> {
    Conn::new(Opts::from_url(url).unwrap()).await
}

#[tokio::test]
async fn the_url_works_and_databases_are_apart() {
    let db = MariaDb::start().unwrap();
    let expected = format!("mysql://redsqrl:{PASSWORD}@127.0.0.1:{}/redsqrl", db.port());
    assert_eq!(db.url(), expected);

    let fresh = db.fresh_database().unwrap();
    assert_ne!(fresh, db.fresh_database().unwrap());
    let mut conn = connect(&fresh).await.unwrap();
    conn.query_drop("CREATE TABLE t (id INT PRIMARY KEY, bytes LONGBLOB)")
        .await
        .unwrap();
    let payload = vec![0xfe_u8; 16 << 20];
    conn.exec_drop("INSERT INTO t VALUES (1, ?)", (payload,))
        .await
        .unwrap();
    assert_eq!(
        db.sql(&fresh, "SELECT id, LENGTH(bytes) FROM t").unwrap(),
        "1\t16777216\n"
    );
    let error = db.sql("redsqrl", "SELECT id FROM t").unwrap_err();
    assert!(error.to_string().contains("doesn't exist"), "{error}");
}

#[tokio::test]
async fn what_was_committed_survives_a_kill() {
    let db = MariaDb::start().unwrap();
    let url = db.fresh_database().unwrap();
    let mut conn = connect(&url).await.unwrap();
    conn.query_drop("CREATE TABLE t (id INT PRIMARY KEY)")
        .await
        .unwrap();
    conn.query_drop("INSERT INTO t VALUES (1), (2)")
        .await
        .unwrap();
    db.kill().unwrap();
    assert!(TcpStream::connect(db.addr()).is_err());
    assert!(matches!(db.pause(), Err(TestbedError::NotRunning { .. })));
    db.restart().unwrap();
    let mut conn = connect(&url).await.unwrap();
    let count: Option<u32> = conn.query_first("SELECT COUNT(*) FROM t").await.unwrap();
    assert_eq!(count, Some(2));
}

#[tokio::test]
async fn a_paused_server_answers_once_resumed() {
    let db = MariaDb::start().unwrap();
    let mut conn = connect(&db.url()).await.unwrap();
    db.pause().unwrap();
    let mut answer = std::pin::pin!(conn.query_first::<u32, _>("SELECT 1"));
    let waited = tokio::time::timeout(Duration::from_millis(300), &mut answer).await;
    assert!(waited.is_err(), "nothing answers");
    db.resume().unwrap();
    assert_eq!(answer.await.unwrap(), Some(1));
}

#[test]
fn options_win_over_the_defaults() {
    let db = MariaDb::start_with(&["--innodb-flush-log-at-trx-commit=1"]).unwrap();
    let setting = db
        .sql("redsqrl", "SELECT @@innodb_flush_log_at_trx_commit")
        .unwrap();
    assert_eq!(setting, "1\n");
    let error = MariaDb::start_with(&["--no-such-option"]).err().unwrap();
    assert!(error.to_string().contains("no-such-option"), "{error}");
}
