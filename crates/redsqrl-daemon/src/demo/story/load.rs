//! Chapter 1: everything is loaded through all three nodes at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::super::client::{Client, Outcome, Write};
use super::super::error::DemoError;
use super::super::oracle::FaultKind;
use super::super::report::round;
use super::super::screen::{Bar, grouped};
use super::super::{NAMES, NODES};
use super::Story;

/// Connections to each node.
const WRITERS: usize = 4;

/// Writes sent in one go.
const BATCH: usize = 250;

/// How long a node may go on saying that it has too much to do.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) async fn load(story: &mut Story<'_>) -> Result<(), DemoError> {
    let count = story.items.len();
    story.screen.chapter(&format!(
        "1. Loading {} items through all three nodes at once",
        grouped(count as u64)
    ));
    let seconds = write_everything(story).await?.as_secs_f64();
    let per_second = count as f64 / seconds;
    story.report.items = count;
    story.report.load_seconds = round(seconds, 3);
    story.report.items_per_second = round(per_second, 0);
    story.check(
        true,
        "every item acknowledged",
        format!("{seconds:.2} s, {} items/s", grouped(per_second as u64)),
    );
    let waiting = story
        .screen
        .wait("waiting for equal roots, then reading everything from every node");
    let settled = story.settle().await?;
    drop(waiting);
    story.report.load_converge_seconds = round(settled.after.as_secs_f64(), 3);
    story.show_nodes(&settled.roots, Some(&settled.audit.counts));
    story.check(
        settled.is_equal,
        "roots equal",
        format!(
            "{:.2} s after the last acknowledgement",
            settled.after.as_secs_f64()
        ),
    );
    let audit = &settled.audit;
    story.check(
        audit.is_clean(),
        "every item on every node, byte for byte",
        audit.verdict.shown(&FaultKind::ALL),
    );
    // Every node has shown the newest write of every key.
    story.mesh.oracle().lock().barrier();
    Ok(())
}

/// Writes all items; says how long it took, once everything was connected.
async fn write_everything(story: &Story<'_>) -> Result<Duration, DemoError> {
    let mut prepared = Vec::new();
    for (node, name) in NAMES.iter().enumerate() {
        let count = story.items.iter().skip(node).step_by(NODES).len();
        let bar = Arc::new(story.screen.bar(name, count));
        for writer in 0..WRITERS {
            let part = story.items.iter().skip(node + writer * NODES);
            let part = part.step_by(NODES * WRITERS);
            let part = part.map(|(id, content)| (id.clone(), Some(content.clone())));
            let client = story.mesh.connect(node).await?;
            prepared.push(write(client, part.collect(), bar.clone()));
        }
    }
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    prepared.into_iter().for_each(|writing| {
        tasks.spawn(writing);
    });
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(|error| DemoError::Node {
            node: 0,
            op: "write",
            why: error.to_string(),
        })??;
    }
    Ok(began.elapsed())
}

async fn write(mut client: Client, all: Vec<Write>, bar: Arc<Bar>) -> Result<(), DemoError> {
    for part in all.chunks(BATCH) {
        let mut left = part.to_vec();
        let began = Instant::now();
        loop {
            let outcomes = client.write(&left).await?;
            let refused = outcomes
                .iter()
                .find(|outcome| **outcome != Outcome::Done)
                .cloned();
            let again: Vec<Write> = left
                .into_iter()
                .zip(&outcomes)
                .filter(|(_, outcome)| **outcome != Outcome::Done)
                .map(|(write, _)| write)
                .collect();
            bar.advance(outcomes.len() - again.len());
            let Some(refused) = refused else { break };
            if began.elapsed() > PATIENCE {
                let seen = format!("the last answer was {refused:?}");
                return Err(DemoError::Late {
                    what: "writes to be taken".into(),
                    limit: PATIENCE,
                    seen,
                });
            }
            // It has too much to do: that is what the answer is for.
            tokio::time::sleep(Duration::from_millis(50)).await;
            left = again;
        }
    }
    Ok(())
}
