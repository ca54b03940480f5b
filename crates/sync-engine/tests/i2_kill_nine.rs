//! I2 and I9 with a real process that is killed while it writes: no acknowledged write is missing, no root lies.
#![allow(clippy::disallowed_methods)]

mod common;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::*;
use sync_engine::{Ack, SyncEngine, SyncItem};

const DIRECTORY: &str = "SYNC_ENGINE_TEST_VICTIM";
const ROUNDS: u64 = 50;
const TASKS: u64 = 4;
const KEYS: u64 = 12;

/// What a key holds after its write number `n`: nothing after a delete.
fn content(n: u64) -> Option<Vec<u8>> {
    (n % 5 != 4).then(|| {
        let length = (n * 37 % 2_000) as usize;
        let mut bytes = n.to_be_bytes().to_vec();
        bytes.resize(8 + length, n as u8);
        bytes
    })
}

/// The process to be killed. Run as a test among the others, with nothing said about a directory, it has nothing to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn victim() {
    let Ok(dir) = std::env::var(DIRECTORY) else {
        return;
    };
    let (dir, first) = dir.split_once('|').expect("directory and number");
    let engine = started(config(Path::new(dir))).await;
    let first: u64 = first.parse().expect("a number");
    let tasks = (0..TASKS).map(|task| tokio::spawn(write_for_ever(engine.clone(), task, first)));
    for task in tasks.collect::<Vec<_>>() {
        task.await
            .expect("a writer goes on until the process is killed");
    }
}

async fn write_for_ever(engine: std::sync::Arc<SyncEngine>, task: u64, first: u64) {
    for n in first.. {
        let key = format!("t{task}.k{:02}", n % KEYS);
        say(&format!("begun {key} {n}"));
        match content(n) {
            Some(bytes) => {
                let item = SyncItem::new(key.clone(), bytes);
                engine
                    .submit_acked(item, Ack::Logged)
                    .await
                    .expect("accepted");
            }
            None => {
                engine.delete(&key).await.expect("deleted");
            }
        }
        say(&format!("done {key} {n}"));
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{line}")
        .and_then(|()| out.flush())
        .expect("a pipe");
}

/// For each key the writes of which it may hold one: the last that was acknowledged, and those begun since.
type Heard = BTreeMap<String, Vec<u64>>;

/// Before all writes: the key is absent.
const NEVER: u64 = u64::MAX;

fn kill_one(dir: &Path, first: u64, life: Duration, heard: &mut Heard) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "victim", "--nocapture", "--test-threads", "1"])
        .env(DIRECTORY, format!("{}|{first}", dir.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (first_ack, acked) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut told = Vec::new();
        for line in lines.map_while(Result::ok) {
            let words: Vec<String> = line.split(' ').map(Into::into).collect();
            let [verb, key, n] = &words[..] else { continue };
            let Ok(n) = n.parse::<u64>() else { continue };
            if verb == "done" || verb == "begun" {
                told.push((verb == "done", key.clone(), n));
                first_ack.send(()).ok();
            }
        }
        told
    });
    acked.recv_timeout(PATIENCE).expect("the process writes");
    std::thread::sleep(life);
    child.kill().unwrap();
    child.wait().unwrap();
    for (done, key, n) in reader.join().unwrap() {
        let may_hold = heard.entry(key).or_insert_with(|| vec![NEVER]);
        if done {
            may_hold.clear();
        }
        may_hold.push(n);
    }
}

async fn check(dir: &Path, heard: &mut Heard) {
    let engine = started(config(dir)).await;
    for (key, may_hold) in heard.iter_mut() {
        let found = engine.get(key).await.unwrap();
        let found = found.map(|item| item.content.to_vec());
        let of = |n: u64| if n == NEVER { None } else { content(n) };
        let held = may_hold.iter().rev().find(|n| of(**n) == found).copied();
        let first = found.as_ref().map(|bytes| bytes[..8].to_vec());
        *may_hold =
            vec![held.unwrap_or_else(|| panic!("{key} holds {first:?}, not one of {may_hold:?}"))];
    }
    assert_honest(&engine).await;
    let health = engine.health_check().await;
    assert!(health.archive == sync_engine::TierHealth::Up, "{health:?}");
    eventually("the log is freed", async || {
        engine.force_flush().await.unwrap();
        engine.health_check().await.wal_records == Some(0)
    })
    .await;
    let report = engine.shutdown().await;
    assert!(report.errors.is_empty() && report.logged == 0, "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn i2_i9_kill_nine_in_a_loop_loses_nothing_that_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let (mut chance, mut heard) = (chance(9), Heard::new());
    for round in 0..ROUNDS {
        let life = Duration::from_millis(chance.u64(1..80));
        kill_one(dir.path(), 1 + round * 100_000, life, &mut heard);
        // Every fourth is killed again before anybody has tidied up.
        if round % 4 != 3 {
            check(dir.path(), &mut heard).await;
        }
    }
    check(dir.path(), &mut heard).await;
    assert!(
        heard.len() as u64 >= TASKS * KEYS / 2,
        "{} keys were written",
        heard.len()
    );
}
