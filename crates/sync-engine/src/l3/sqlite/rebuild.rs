//! The table of Merkle nodes made anew from the rows.

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::commit::write_nodes;
use super::failure::Failure;
use super::row;
use super::schema::TREE_SEQ;
use super::value;
use crate::l3::columns::LEAF;
use crate::merkle::node::{Aggregate, NodeRow, NodeWrite};

/// See [`crate::l3::ArchiveStore::rebuild_tree`].
pub(super) fn rebuild_tree(conn: &mut Connection) -> Result<(), Failure> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let root = NodeRow::root_alone(sum_of_rows(&tx)?);
    tx.execute("DELETE FROM merkle", [])?;
    let root: Vec<NodeWrite> = root.into_iter().map(NodeWrite::Put).collect();
    write_nodes(&tx, &root)?;
    value::set_number(&tx, TREE_SEQ, value::number(&tx, TREE_SEQ)? + 1)?;
    Ok(tx.commit()?)
}

fn sum_of_rows(tx: &Transaction) -> Result<Aggregate, Failure> {
    let mut total = Aggregate::default();
    let mut select = tx.prepare(&format!("SELECT {LEAF} FROM items"))?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let (key, leaf) = row::leaf(row)?;
        total.insert(&leaf.digest(key.as_bytes()));
    }
    Ok(total)
}
