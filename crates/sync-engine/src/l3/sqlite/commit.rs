//! The one transaction that changes rows.

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::failure::Failure;
use super::row;
use super::schema::{CLOCK_BOUND, COLLECTED, TREE_SEQ};
use super::value;
use crate::item::stamp::HlcTime;
use crate::item::{Leaf, Stored};
use crate::l3::columns::LEAF;
use crate::l3::{CommitPlan, CommitView, Planner, RowAction};
use crate::merkle::node::NodeWrite;

/// Whether the record to write beats the row, in the words of [`crate::item::decide`]: the empty hash of a tombstone
/// is smaller than any other.
const UPSERT: &str = "INSERT INTO items (id, time, origin, live, hash, expires_at, updated_at, version, \
    content_type, route, redis_ttl, state, batch_id, trace_parent, trace_state, home_instance_id, content) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17) \
    ON CONFLICT (id) DO UPDATE SET time = excluded.time, origin = excluded.origin, live = excluded.live, \
    hash = excluded.hash, expires_at = excluded.expires_at, updated_at = excluded.updated_at, \
    version = excluded.version, content_type = excluded.content_type, route = excluded.route, \
    redis_ttl = excluded.redis_ttl, state = excluded.state, batch_id = excluded.batch_id, \
    trace_parent = excluded.trace_parent, trace_state = excluded.trace_state, \
    home_instance_id = excluded.home_instance_id, content = excluded.content \
    WHERE (excluded.time, excluded.origin, excluded.live, excluded.hash) > \
    (items.time, items.origin, items.live, items.hash)";

/// Only what is still the tombstone that was to go.
const REMOVE: &str = "DELETE FROM items WHERE id = ?1 AND time = ?2 AND origin = ?3 AND live = 0";

/// Reads, asks the planner, writes; on any error nothing has changed.
pub(super) fn commit(
    conn: &mut Connection,
    records: &[Stored],
    plan: Planner,
) -> Result<Vec<RowAction>, Failure> {
    // Immediate: what is read here cannot change before it is written.
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let order = key_order(records);
    let view = CommitView {
        olds: old_leaves(&tx, records, &order)?,
        tree_seq: value::number(&tx, TREE_SEQ)?,
    };
    let tree_seq = view.tree_seq;
    let plan = plan(view)?;
    plan.check_length(records.len())?;
    write_rows(&tx, records, &order, &plan)?;
    write_nodes(&tx, &plan.nodes)?;
    if plan.tree_seq != tree_seq {
        value::set_number(&tx, TREE_SEQ, plan.tree_seq)?;
    }
    raise(&tx, CLOCK_BOUND, plan.clock_bound)?;
    raise(&tx, COLLECTED, plan.collected)?;
    tx.commit()?;
    Ok(plan.rows)
}

/// Raises the bound of this name to `bound`; it never falls.
pub(super) fn raise(conn: &Connection, name: &str, bound: HlcTime) -> Result<(), Failure> {
    match bound > HlcTime::default() && bound.0 > value::number(conn, name)? {
        true => value::set_number(conn, name, bound.0),
        false => Ok(()),
    }
}

/// The places of the records in key order: neighbours share pages, so sorted access touches each page once.
fn key_order(records: &[Stored]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..records.len()).collect();
    order.sort_unstable_by_key(|at| records.get(*at).map(Stored::key));
    order
}

fn in_order<'a>(
    records: &'a [Stored],
    order: &'a [usize],
) -> impl Iterator<Item = (usize, &'a Stored)> {
    order
        .iter()
        .filter_map(|at| records.get(*at).map(|record| (*at, record)))
}

fn old_leaves(
    tx: &Transaction,
    records: &[Stored],
    order: &[usize],
) -> Result<Vec<Option<Leaf>>, Failure> {
    let mut select = tx.prepare_cached(&format!("SELECT {LEAF} FROM items WHERE id = ?1"))?;
    let mut olds = vec![None; records.len()];
    for (at, record) in in_order(records, order) {
        let found = select
            .query_row([record.key().as_str()], |row| Ok(row::leaf(row)))
            .optional()?;
        if let (Some(old), Some(found)) = (olds.get_mut(at), found) {
            *old = Some(found?.1);
        }
    }
    Ok(olds)
}

fn write_rows(
    tx: &Transaction,
    records: &[Stored],
    order: &[usize],
    plan: &CommitPlan,
) -> Result<(), Failure> {
    let mut upsert = tx.prepare_cached(UPSERT)?;
    let mut remove = tx.prepare_cached(REMOVE)?;
    for (at, record) in in_order(records, order) {
        let done = match plan.rows.get(at) {
            Some(RowAction::Put) => write_row(&mut upsert, record),
            Some(RowAction::Remove) => remove_row(&mut remove, record),
            Some(RowAction::Leave) | None => Ok(()),
        };
        done.map_err(Failure::of_row)?;
    }
    Ok(())
}

fn remove_row(remove: &mut rusqlite::CachedStatement, record: &Stored) -> Result<(), Failure> {
    let (time, origin) = row::stamp_columns(record.stamp());
    remove.execute(params![record.key().as_str(), time, origin])?;
    Ok(())
}

fn write_row(upsert: &mut rusqlite::CachedStatement, record: &Stored) -> Result<(), Failure> {
    let id = record.key().as_str();
    let (time, origin) = row::stamp_columns(record.stamp());
    let empty: &[u8] = &[];
    let none = None::<&str>;
    match record {
        Stored::Tombstone { .. } => upsert.execute(params![
            id, time, origin, 0, empty, none, 0, 0, 0, 0, none, "", none, none, none, none, empty
        ])?,
        Stored::Live(item) => {
            let (content_type, route, redis_ttl) = row::option_columns(item);
            upsert.execute(params![
                id,
                time,
                origin,
                1,
                item.content_hash.0,
                item.expires_at,
                item.updated_at,
                item.version.cast_signed(),
                content_type,
                route,
                redis_ttl,
                &*item.state,
                item.batch_id.as_deref(),
                item.trace_parent.as_deref(),
                item.trace_state.as_deref(),
                item.home_instance_id.as_deref(),
                &item.content[..],
            ])?
        }
    };
    Ok(())
}

pub(super) fn write_nodes(tx: &Transaction, nodes: &[NodeWrite]) -> Result<(), Failure> {
    if nodes.is_empty() {
        return Ok(());
    }
    let mut put = tx.prepare_cached(
        "INSERT INTO merkle (prefix, count, sum, split) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT (prefix) DO UPDATE SET count = excluded.count, sum = excluded.sum, split = excluded.split",
    )?;
    let mut delete = tx.prepare_cached("DELETE FROM merkle WHERE prefix = ?1")?;
    for node in nodes {
        match node {
            NodeWrite::Put(node) => {
                let (count, sum) = row::aggregate_columns(&node.aggregate);
                put.execute(params![&node.prefix[..], count, sum, node.split])?
            }
            NodeWrite::Delete(prefix) => delete.execute([&prefix[..]])?,
        };
    }
    Ok(())
}
