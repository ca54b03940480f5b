//! The one transaction that changes rows.

use std::collections::BTreeMap;

use mysql_async::Value;

use super::chunk::{list, runs};
use super::failure::{Failure, RowRefused};
use super::row::{self, COLUMNS};
use super::schema::{CLOCK_BOUND, COLLECTED, TREE_SEQ};
use super::session::Session;
use super::{read, value};
use crate::item::Stored;
use crate::l3::{CommitPlan, CommitView, Planner, RowAction};
use crate::merkle::node::{NodeRow, NodeWrite};

/// Rows in one statement: 512 times 19 values is well below the 65,535 that a statement may have.
const ROWS_MAX: usize = 512;

/// Bytes of rows in one statement, where the server would take more: enough that a round trip does not matter.
const STATEMENT_BYTES: usize = 4 << 20;

/// Bytes of a packet that a node takes beside its prefix: numbers, a sum, lengths and types.
const NODE_BYTES: usize = 80;

/// Columns that are replaced together with the stamp.
const REPLACED: [&str; 14] = [
    "expires_at",
    "updated_at",
    "version",
    "content_type",
    "route",
    "redis_ttl",
    "state",
    "batch_id",
    "trace_parent",
    "trace_state",
    "home_instance_id",
    "bytes",
    "content",
    "dead",
];

/// The columns of the order in which records win, most significant first.
const ORDER: [&str; 4] = ["time", "origin", "live", "hash"];

/// Reads, asks the planner, writes; on any error nothing has changed, or, where the connection broke, the server undoes it.
pub(super) async fn commit(
    session: &mut Session,
    records: &[Stored],
    plan: Planner,
) -> Result<Vec<RowAction>, Failure> {
    session.begin("START TRANSACTION").await?;
    let done = match inside(session, records, plan).await {
        Ok(done) => session.commit().await.map(|()| done),
        Err(failure) => Err(failure),
    };
    if let Err(failure) = &done {
        session.roll_back(failure).await;
    }
    done
}

async fn inside(
    session: &mut Session,
    records: &[Stored],
    plan: Planner,
) -> Result<Vec<RowAction>, Failure> {
    // The lock that puts the commits of all engines in line, so it comes first.
    let tree_seq = value::lock_number(session, TREE_SEQ).await?;
    let keys: Vec<_> = records.iter().map(Stored::key).collect();
    let olds = read::leaves_of(session, &keys).await?;
    let plan = plan(CommitView { olds, tree_seq })?;
    plan.check_length(records.len())?;
    write_rows(session, &chosen(records, &plan, RowAction::Put)).await?;
    remove_rows(session, &chosen(records, &plan, RowAction::Remove)).await?;
    write_nodes(session, &plan.nodes).await?;
    if plan.tree_seq != tree_seq {
        value::set_number(session, TREE_SEQ, plan.tree_seq).await?;
    }
    for (name, bound) in [
        (CLOCK_BOUND, plan.clock_bound.0),
        (COLLECTED, plan.collected.0),
    ] {
        if bound > 0 {
            value::raise_number(session, name, bound).await?;
        }
    }
    Ok(plan.rows)
}

/// An insert of so many rows, each replacing what is there only if its record wins, in the words of [`crate::item::decide`].
fn upsert(rows: usize) -> String {
    let winning = "(VALUES(time), VALUES(origin), VALUES(live), VALUES(hash)) > \
        (items.time, items.origin, items.live, items.hash)";
    // Assignments see those before them. So the columns that are compared come last, the least significant first: once a column is
    // replaced, the record still wins by a more significant one, or the more significant ones are equal and need not be replaced.
    let assigned = REPLACED.iter().chain(ORDER.iter().rev());
    let assigned: Vec<String> = assigned
        .map(|column| format!("{column} = IF({winning}, VALUES({column}), items.{column})"))
        .collect();
    let row = format!("({})", list("?", COLUMNS));
    format!(
        "INSERT INTO items (id, {}, {}) VALUES {} ON DUPLICATE KEY UPDATE {}",
        ORDER.join(", "),
        REPLACED.join(", "),
        list(&row, rows),
        assigned.join(", "),
    )
}

/// The records for which the plan says this, in key order: neighbours share pages, so each page is touched once.
fn chosen<'a>(records: &'a [Stored], plan: &CommitPlan, wanted: RowAction) -> Vec<&'a Stored> {
    let planned = records.iter().zip(&plan.rows);
    let mut chosen: Vec<&Stored> = planned
        .filter(|(_, action)| **action == wanted)
        .map(|(record, _)| record)
        .collect();
    chosen.sort_unstable_by_key(|record| record.key());
    chosen
}

async fn write_rows(session: &mut Session, chosen: &[&Stored]) -> Result<(), Failure> {
    let sizes: Vec<usize> = chosen
        .iter()
        .map(|record| row::packet_bytes_of(record))
        .collect();
    let limit = session.row_bytes_max();
    if let Some(&bytes) = sizes.iter().find(|bytes| **bytes > limit) {
        // Not sent at all: the server would close the connection.
        return Err(RowRefused::Packet { bytes, limit }.into());
    }
    for run in runs(&sizes, ROWS_MAX, limit.min(STATEMENT_BYTES)) {
        let rows = chosen.get(run).unwrap_or_default();
        let values: Vec<Value> = rows
            .iter()
            .flat_map(|record| row::values_of(record))
            .collect();
        let written = session.run(&upsert(rows.len()), values).await;
        written.map_err(Failure::of_rows)?;
    }
    Ok(())
}

/// A removal of so many rows, of each only if it still is the tombstone with that stamp. By the keys alone the rows are found.
pub(super) fn removal(rows: usize) -> String {
    format!(
        "DELETE FROM items WHERE id IN ({}) AND live = 0 AND (id, time, origin) IN ({})",
        list("?", rows),
        list("(?,?,?)", rows),
    )
}

/// Removes those that still are the tombstones with these stamps.
async fn remove_rows(session: &mut Session, doomed: &[&Stored]) -> Result<(), Failure> {
    let sizes: Vec<usize> = doomed
        .iter()
        .map(|record| 2 * row::packet_bytes_of(record))
        .collect();
    let limit = session.row_bytes_max().min(STATEMENT_BYTES);
    for run in runs(&sizes, ROWS_MAX, limit) {
        let rows = doomed.get(run).unwrap_or_default();
        let keys = rows.iter().map(|record| record.key().as_str().into());
        let stamps = rows.iter().flat_map(|record| row::identity_of(record));
        let removed = session
            .run(&removal(rows.len()), keys.chain(stamps).collect())
            .await;
        removed.map_err(Failure::of_rows)?;
    }
    Ok(())
}

pub(super) async fn write_nodes(session: &mut Session, nodes: &[NodeWrite]) -> Result<(), Failure> {
    // The last word on each prefix, as if they were written one after the other.
    let mut last: BTreeMap<&[u8], Option<&NodeRow>> = BTreeMap::new();
    for node in nodes {
        match node {
            NodeWrite::Put(node) => last.insert(&node.prefix, Some(node)),
            NodeWrite::Delete(prefix) => last.insert(prefix, None),
        };
    }
    let puts: Vec<&NodeRow> = last.values().copied().flatten().collect();
    let limit = session.row_bytes_max().min(STATEMENT_BYTES);
    let sizes: Vec<usize> = puts
        .iter()
        .map(|node| node.prefix.len() + NODE_BYTES)
        .collect();
    for run in runs(&sizes, ROWS_MAX, limit) {
        let rows = puts.get(run).unwrap_or_default();
        let sql = format!(
            "INSERT INTO merkle (prefix, count, sum, split) VALUES {} \
             ON DUPLICATE KEY UPDATE count = VALUES(count), sum = VALUES(sum), split = VALUES(split)",
            list("(?,?,?,?)", rows.len()),
        );
        session
            .run(
                &sql,
                rows.iter()
                    .flat_map(|node| row::values_of_node(node))
                    .collect(),
            )
            .await?;
    }
    let gone: Vec<&[u8]> = last
        .iter()
        .filter(|(_, node)| node.is_none())
        .map(|(prefix, _)| *prefix)
        .collect();
    let sizes: Vec<usize> = gone
        .iter()
        .map(|prefix| prefix.len() + NODE_BYTES)
        .collect();
    for run in runs(&sizes, ROWS_MAX, limit) {
        let prefixes = gone.get(run).unwrap_or_default();
        let sql = format!(
            "DELETE FROM merkle WHERE prefix IN ({})",
            list("?", prefixes.len())
        );
        session
            .run(
                &sql,
                prefixes.iter().map(|prefix| Value::from(*prefix)).collect(),
            )
            .await?;
    }
    Ok(())
}
