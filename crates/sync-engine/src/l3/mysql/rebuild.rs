//! The table of Merkle nodes made anew from the rows.

use super::commit::write_nodes;
use super::failure::Failure;
use super::schema::TREE_SEQ;
use super::session::Session;
use super::{read, value};
use crate::l3::KeyRange;
use crate::merkle::node::{Aggregate, NodeRow, NodeWrite};

/// Rows read at once.
const PAGE_ROWS: usize = 8192;

/// See [`crate::l3::ArchiveStore::rebuild_tree`]. The commits of all engines wait meanwhile, or fail when it takes too long.
pub(super) async fn rebuild_tree(session: &mut Session) -> Result<(), Failure> {
    session.begin("START TRANSACTION").await?;
    let done = match inside(session).await {
        Ok(()) => session.commit().await,
        Err(failure) => Err(failure),
    };
    if let Err(failure) = &done {
        session.roll_back(failure).await;
    }
    done
}

async fn inside(session: &mut Session) -> Result<(), Failure> {
    // The lock that commits need too: no row changes while they are summed up.
    let tree_seq = value::lock_number(session, TREE_SEQ).await?;
    let root = NodeRow::root_alone(sum_of_rows(session).await?);
    session.run("DELETE FROM merkle", Vec::new()).await?;
    let root: Vec<NodeWrite> = root.into_iter().map(NodeWrite::Put).collect();
    write_nodes(session, &root).await?;
    value::set_number(session, TREE_SEQ, tree_seq + 1).await
}

async fn sum_of_rows(session: &mut Session) -> Result<Aggregate, Failure> {
    let mut total = Aggregate::default();
    let mut range = KeyRange::all();
    loop {
        let page = read::scan_leaves(session, &range, PAGE_ROWS).await?;
        let Some((last, _)) = page.last() else {
            return Ok(total);
        };
        range = range.after(last.as_bytes());
        for (key, leaf) in &page {
            total.insert(&leaf.digest(key.as_bytes()));
        }
    }
}
