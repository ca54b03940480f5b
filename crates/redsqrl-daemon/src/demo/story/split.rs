//! Chapter 3: C is cut off, and both sides go on writing: the same keys, deletes, new items.

use std::time::Duration;

use bytes::Bytes;

use super::super::client::{Client, Write};
use super::super::data::OWN_PREFIX;
use super::super::error::DemoError;
use super::super::oracle::Stamp;
use super::{A, B, C, Story};

/// Keys written on both sides.
const CONFLICTS: usize = 100;

/// Keys deleted on one side and written on the other, each way.
const CONTESTED: usize = 20;

/// Keys deleted on each side.
const DELETES: usize = 100;

/// New items on each side.
const NEW: usize = 100;

/// Longer than a tick of the clock by which all nodes of this machine stamp.
const ONE_TICK: Duration = Duration::from_millis(5);

/// What was written under one key on both sides.
#[derive(Clone, Debug)]
pub(super) struct Conflict {
    pub(super) key: String,
    /// Who wrote, and with which stamp.
    pub(super) writes: Vec<(usize, Stamp)>,
}

/// Cuts C off and writes on both sides.
pub(super) async fn split(story: &mut Story<'_>) -> Result<Vec<Conflict>, DemoError> {
    story
        .screen
        .chapter("3. C is cut off; both sides go on writing");
    let before = story.mesh.roots().await?;
    story.mesh.cut(|reader, source| reader == C || source == C);
    let keys = chosen(story);
    let mut keys = keys.as_slice();
    let mut next = |count: usize| -> Vec<String> {
        let (taken, rest) = keys.split_at(count.min(keys.len()));
        keys = rest;
        taken.to_vec()
    };
    let mut clients = story.mesh.clients();
    let conflicts = write_conflicts(&clients, &next(CONFLICTS)).await?;
    contest(story, &mut clients, &next(CONTESTED), &next(CONTESTED)).await?;
    let (gone_on_a, gone_on_c) = (next(DELETES), next(DELETES));
    for (node, gone) in [(A, gone_on_a), (C, gone_on_c)] {
        let deletes: Vec<Write> = gone.into_iter().map(|key| (key, None)).collect();
        of(&mut clients, node)?.write_all(&deletes).await?;
    }
    for node in [A, B, C] {
        of(&mut clients, node)?.write_all(&new_items(node)).await?;
    }
    of(&mut clients, C)?.write_all(&odd_items()).await?;
    story.report.conflicts = CONFLICTS + 2 * CONTESTED;
    story.report.deletes = 2 * DELETES + 2 * CONTESTED;
    let moved = |roots: &[String]| {
        let old = |node: usize| roots.get(node) == before.get(node);
        !old(A) && !old(C) && roots.get(A) == roots.get(B) && roots.get(A) != roots.get(C)
    };
    let roots = story
        .mesh
        .roots_steady_when("A and B to be equal and C to differ", moved)
        .await?;
    story.show_nodes(&roots, None);
    let detail = format!(
        "{} keys written on both sides, {} deleted, {} new",
        story.report.conflicts,
        story.report.deletes,
        NEW * 3 + odd_items().len()
    );
    story.check(true, "A and B agree, C differs", detail);
    Ok(conflicts)
}

/// Keys to play with, from all over the data.
fn chosen(story: &Story<'_>) -> Vec<String> {
    let count = CONFLICTS + 2 * CONTESTED + 2 * DELETES;
    let stride = (story.items.len() / count).max(1);
    story
        .items
        .iter()
        .step_by(stride)
        .take(count)
        .map(|(key, _)| key.clone())
        .collect()
}

fn of(clients: &mut [Client], node: usize) -> Result<&mut Client, DemoError> {
    clients.get_mut(node).ok_or(DemoError::Node {
        node,
        op: "find",
        why: "no client".into(),
    })
}

/// Writes each key on both sides, now one side first, now the other, now both at once; every fifth on B too.
async fn write_conflicts(clients: &[Client], keys: &[String]) -> Result<Vec<Conflict>, DemoError> {
    let [a, b, c] = clients else {
        return Ok(Vec::new());
    };
    let value = |node: &str, at: usize| {
        Bytes::from(format!(
            "{{ \"conflict\": {at},  \"written_on\":\"{node}\"}}"
        ))
    };
    let mut conflicts = Vec::new();
    for (at, key) in keys.iter().enumerate() {
        let on_a = a.put_stamped(key, value("A", at));
        let on_c = c.put_stamped(key, value("C", at));
        let (on_a, on_c) = match at % 3 {
            0 => {
                let on_a = on_a.await?;
                (on_a, on_c.await?)
            }
            1 => {
                let on_c = on_c.await?;
                (on_a.await?, on_c)
            }
            _ => tokio::try_join!(on_a, on_c)?,
        };
        let mut writes = vec![(A, on_a), (C, on_c)];
        if at % 5 == 0 {
            writes.push((B, b.put_stamped(key, value("B", at)).await?));
        }
        conflicts.push(Conflict {
            key: key.clone(),
            writes,
        });
    }
    Ok(conflicts)
}

/// Deletes on A what C has written just before, and writes on C what A has deleted just before.
async fn contest(
    story: &Story<'_>,
    clients: &mut [Client],
    deleted_last: &[String],
    written_last: &[String],
) -> Result<(), DemoError> {
    let value = Some(Bytes::from_static(
        b"{\"written_on\": \"C\", \"deleted_on\": \"A\"}",
    ));
    let put = |keys: &[String]| -> Vec<Write> {
        keys.iter()
            .map(|key| (key.clone(), value.clone()))
            .collect()
    };
    let delete =
        |keys: &[String]| -> Vec<Write> { keys.iter().map(|key| (key.clone(), None)).collect() };
    of(clients, C)?.write_all(&put(deleted_last)).await?;
    of(clients, A)?.write_all(&delete(written_last)).await?;
    // A delete does not tell its stamp; but all nodes go by the clock of this machine, so that what comes a tick later
    // has a greater one.
    tokio::time::sleep(ONE_TICK).await;
    story.mesh.oracle().lock().barrier();
    of(clients, A)?.write_all(&delete(deleted_last)).await?;
    of(clients, C)?.write_all(&put(written_last)).await
}

fn new_items(node: usize) -> Vec<Write> {
    let item = |at: usize| {
        let content = format!("{{\"new\":{at},\"written_on_node\":{node}}}");
        (
            format!("{OWN_PREFIX}new.{node}.{at}"),
            Some(Bytes::from(content)),
        )
    };
    (0..NEW).map(item).collect()
}

/// Content that a careless store would change.
fn odd_items() -> Vec<Write> {
    // Bytes that do not shrink: a multiplicative generator is random enough for that.
    let mut state = 1u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 56) as u8
    })
    .take(1 << 20)
    .collect();
    let zstd =
        zstd::bulk::compress(b"a frame of its own, to be left as it is", 3).unwrap_or_default();
    let odd: [(&str, Vec<u8>); 6] = [
        ("empty", Vec::new()),
        ("not_utf8", vec![0xff, 0x00, 0xc3, 0x28, b'\r', b'\n']),
        ("zstd", zstd),
        ("blanks", b" {\n\t\"b\" : 1.50e3 , \"a\":[ ] }\r\n".to_vec()),
        ("a_mebibyte_of_noise", noise),
        ("a_mebibyte_of_zeros", vec![0; 1 << 20]),
    ];
    odd.into_iter()
        .map(|(name, content)| {
            (
                format!("{OWN_PREFIX}odd.{name}"),
                Some(Bytes::from(content)),
            )
        })
        .collect()
}
