//! Chapter 4: B is killed in the middle of writing, and started again.
//!
//! Meanwhile nobody can read from B: what it acknowledged is on its disk or nowhere. B itself goes on reading from A,
//! so that it dies in the middle of replicating too.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::task::JoinSet;

use super::super::client::{Client, Outcome, Write};
use super::super::data::OWN_PREFIX;
use super::super::error::DemoError;
use super::super::oracle::{Fault, FaultKind};
use super::super::screen::grouped;
use super::{A, B, Story};

/// Writers to B, each with one write under way at a time.
const WRITERS: usize = 32;

/// B is killed when it has acknowledged so many.
const KILL_AFTER: usize = 2000;

/// Or after this time, if it has acknowledged any.
const KILL_LATEST: Duration = Duration::from_secs(10);

/// So many writes are replaced when B is back, and so many deleted.
const AGAIN: usize = 50;

pub(super) async fn crash(story: &mut Story<'_>) -> Result<(), DemoError> {
    story
        .screen
        .chapter("4. B is killed (SIGKILL) in the middle of writing, and started again");
    story.mesh.cut(|_, source| source == B);
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let dead = Arc::new(AtomicBool::new(false));
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let client = story.mesh.connect(B).await?;
        writers.spawn(write_until_death(client, writer, acknowledged.clone()));
    }
    let beside = tokio::spawn(write_beside(story.mesh.connect(A).await?, dead.clone()));
    wait_for(&acknowledged).await;
    story.mesh.kill(B)?;
    dead.store(true, Ordering::Relaxed);
    let (mut keys, mut unanswered) = (Vec::new(), 0);
    while let Some(ended) = writers.join_next().await {
        let (own, unknown) = ended.map_err(|error| broken(&error))?;
        keys.extend(own);
        unanswered += usize::from(unknown);
    }
    beside.await.map_err(|error| broken(&error))??;
    story.report.unanswered = unanswered;
    let count = acknowledged.load(Ordering::Relaxed);
    story.screen.remark(&format!(
        "killed after {} acknowledged writes, with {unanswered} under way",
        grouped(count as u64)
    ));
    let began = Instant::now();
    let waiting = story.screen.wait("B starts again");
    story.mesh.restart(B).await?;
    drop(waiting);
    let took = began.elapsed().as_secs_f64();
    let faults = faults_of_b(story, &keys).await?;
    story.report.lost = faults.len();
    let detail = match faults.first() {
        None => format!(
            "{} writes, serving again after {took:.2} s",
            grouped(count as u64)
        ),
        Some(fault) => format!("{} of {count} are wrong, such as {fault}", faults.len()),
    };
    story.check(
        faults.is_empty() && count > 0,
        "every write that B acknowledged is on B's own disk",
        detail,
    );
    write_again(story, &keys).await
}

/// What B writes after its return is newer than what it wrote before: it replaces some of that, and deletes some.
async fn write_again(story: &mut Story<'_>, keys: &[String]) -> Result<(), DemoError> {
    let content = Bytes::from_static(b"{\"written\":\"after the return\"}");
    let replaced = keys.iter().take(AGAIN);
    let replaced = replaced.map(|key| (key.clone(), Some(content.clone())));
    let deleted = keys.iter().skip(AGAIN).take(AGAIN);
    let deleted: Vec<Write> = deleted.map(|key| (key.clone(), None)).collect();
    story.report.deletes += deleted.len();
    let writes: Vec<Write> = replaced.chain(deleted).collect();
    let mut client = story.mesh.connect(B).await?;
    client.write_all(&writes).await
}

fn broken(error: &tokio::task::JoinError) -> DemoError {
    DemoError::Node {
        node: B,
        op: "write",
        why: error.to_string(),
    }
}

async fn wait_for(acknowledged: &AtomicUsize) {
    let began = Instant::now();
    let enough = || acknowledged.load(Ordering::Relaxed) >= KILL_AFTER;
    while !enough() && began.elapsed() < KILL_LATEST {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Writes one new key after the other; gives those that were acknowledged, and whether one was left unanswered.
async fn write_until_death(
    mut client: Client,
    writer: usize,
    acknowledged: Arc<AtomicUsize>,
) -> (Vec<String>, bool) {
    let mut keys = Vec::new();
    for at in 0.. {
        let key = format!("{OWN_PREFIX}crash.{writer}.{at}");
        let content = Bytes::from(format!(
            "{{\"writer\":{writer},\"at\":{at},\"fill\":\"{}\"}}",
            "x".repeat(at % 300)
        ));
        match client
            .write(&[(key.clone(), Some(content))])
            .await
            .as_deref()
        {
            Ok([Outcome::Done]) => {
                keys.push(key);
                acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            // It has too much to do.
            Ok(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            Err(_) => return (keys, true),
        }
    }
    (keys, false)
}

/// Writes on A, so that B has something to replicate.
async fn write_beside(mut client: Client, dead: Arc<AtomicBool>) -> Result<(), DemoError> {
    for at in 0.. {
        if dead.load(Ordering::Relaxed) {
            break;
        }
        let content = Bytes::from(format!("{{\"beside\":{at}}}"));
        client
            .write_all(&[(format!("{OWN_PREFIX}beside.{}", at % 1000), Some(content))])
            .await?;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

/// What is wrong on B with the keys that it acknowledged.
async fn faults_of_b(story: &mut Story<'_>, keys: &[String]) -> Result<Vec<Fault>, DemoError> {
    let mut client = story.mesh.connect(B).await?;
    let values = client.read(keys).await?;
    let oracle = story.mesh.oracle().lock();
    let wrong = keys
        .iter()
        .zip(&values)
        .filter(|(key, value)| !oracle.allowed_of(key).contains(&value.as_ref()));
    Ok(wrong
        .map(|(key, value)| {
            let kind = match value {
                None => FaultKind::Lost,
                Some(_) => FaultKind::Mismatched,
            };
            Fault {
                key: key.clone(),
                node: B,
                kind,
            }
        })
        .collect())
}
