//! A private PostgreSQL: its URL works for a real client, and it survives crashes as a real one does.
#![allow(clippy::disallowed_methods)]

use std::{
    net::TcpStream,
    process::{Command, Stdio},
    thread::sleep,
    time::Duration,
};

use testbed::{PASSWORD, Postgres, TestbedError};

/// `psql` over TCP, with the password, as any client of the URL would.
fn psql(url: &str, statement: &str) -> Command {
    let mut command = Command::new("psql");
    command
        .args(["-X", "-A", "-t", "-q", url, "-c", statement])
        .stdout(Stdio::piped());
    command
}

fn ask(url: &str, statement: &str) -> String {
    let output = psql(url, statement).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_url_works_and_databases_are_apart() {
    let db = Postgres::start().unwrap();
    let expected = format!(
        "postgres://redsqrl:{PASSWORD}@127.0.0.1:{}/redsqrl",
        db.port()
    );
    assert_eq!(db.url(), expected);
    let wrong = db.url().replace(PASSWORD, "guess");
    assert!(!psql(&wrong, "SELECT 1").output().unwrap().status.success());

    let fresh = db.fresh_database().unwrap();
    assert_ne!(fresh, db.fresh_database().unwrap());
    ask(&fresh, "CREATE TABLE t (id INT PRIMARY KEY, name TEXT)");
    ask(&fresh, "INSERT INTO t VALUES (1, 'é')");
    assert_eq!(db.sql(&fresh, "SELECT * FROM t").unwrap(), "1|é\n");
    let error = db.sql("redsqrl", "SELECT id FROM t").unwrap_err();
    assert!(error.to_string().contains("does not exist"), "{error}");
}

#[test]
fn what_was_committed_survives_a_kill() {
    let db = Postgres::start().unwrap();
    let url = db.fresh_database().unwrap();
    ask(&url, "CREATE TABLE t (id INT PRIMARY KEY)");
    ask(&url, "INSERT INTO t VALUES (1), (2)");
    // A connection in the middle of something must neither survive nor hinder the restart.
    let mut busy = psql(&url, "SELECT pg_sleep(60)").spawn().unwrap();
    sleep(Duration::from_millis(300));
    db.kill().unwrap();
    assert!(TcpStream::connect(db.addr()).is_err());
    assert!(!busy.wait().unwrap().success());
    assert!(matches!(db.pause(), Err(TestbedError::NotRunning { .. })));
    db.restart().unwrap();
    assert_eq!(ask(&url, "SELECT count(*) FROM t"), "2\n");
}

#[test]
fn a_paused_server_answers_once_resumed_open_connections_included() {
    let db = Postgres::start().unwrap();
    let mut open = psql(&db.url(), "SELECT pg_sleep(2), 7").spawn().unwrap();
    sleep(Duration::from_millis(150));
    db.pause().unwrap();
    sleep(Duration::from_millis(2_500));
    assert!(open.try_wait().unwrap().is_none(), "nothing answers");
    db.resume().unwrap();
    let output = open.wait_with_output().unwrap();
    assert_eq!(output.stdout, b"|7\n");
}

#[test]
fn a_paused_server_ends_with_its_owner() {
    let db = Postgres::start().unwrap();
    let addr = db.addr();
    let mut open = psql(&db.url(), "SELECT pg_sleep(60)").spawn().unwrap();
    sleep(Duration::from_millis(150));
    db.pause().unwrap();
    drop(db);
    assert!(TcpStream::connect(addr).is_err());
    assert!(!open.wait().unwrap().success());
}

#[test]
fn options_win_over_the_defaults() {
    let db = Postgres::start_with(&["-c", "fsync=on"]).unwrap();
    assert_eq!(db.sql("redsqrl", "SHOW fsync").unwrap(), "on\n");
    let error = Postgres::start_with(&["-c", "no_such_option=1"])
        .err()
        .unwrap();
    assert!(error.to_string().contains("no_such_option"), "{error}");
}
