//! What must hold.

use crate::ledger::one;
use crate::mesh::{KEYS, Mesh, NODES, Node, Write};
use crate::step::{Bounds, Step, after};

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    /// A value is at a node again that a write which was there had replaced knowingly.
    CameBack {
        /// Where.
        node: usize,
        /// Of which key.
        key: usize,
    },
    /// A tombstone is at a node again that it had collected.
    PulledBack {
        /// Where.
        node: usize,
        /// Of which key.
        key: usize,
    },
    /// Though nobody writes, the nodes do not come to hold the same.
    Diverged,
    /// When all is quiet, the newest write of a key is not what the nodes hold.
    Lost {
        /// Of which key.
        key: usize,
    },
    /// When all is quiet, a value is there that somebody deleted who knew it.
    Resurrected {
        /// Of which key.
        key: usize,
    },
    /// When all is quiet, a tombstone is still there.
    Kept {
        /// Of which key.
        key: usize,
    },
}

/// What must hold at any moment.
pub fn always(mesh: &Mesh) -> Result<(), Broken> {
    for (node, state) in mesh.nodes.iter().enumerate() {
        for (key, at) in state.rows.iter().enumerate() {
            let Some(at) = at else { continue };
            match mesh.write(*at).value {
                Some(value) if mesh.gone(node) & 1 << value != 0 => {
                    return Err(Broken::CameBack { node, key });
                }
                None if state.collected & 1 << at != 0 => {
                    return Err(Broken::PulledBack { node, key });
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// What must hold when users stop, clocks go right and everybody can ask its peers for a while.
///
/// Where two have given up each other and the third joins neither, all wait until a person decides.
pub fn at_rest(mesh: &Mesh, bounds: &Bounds) -> Result<(), Broken> {
    let rest = come_to_rest(mesh, bounds)?;
    let first = rest.nodes[0].rows;
    if rest.nodes.iter().any(|node| node.rows != first) {
        return match is_undecided(&rest) {
            true => Ok(()),
            false => Err(Broken::Diverged),
        };
    }
    match (0..KEYS).try_for_each(|key| newest(&rest, key)) {
        Err(Broken::Kept { .. }) if is_undecided(&rest) => Ok(()),
        done => done,
    }
}

fn is_undecided(rest: &Mesh) -> bool {
    let has_given_up = |a: &Node, b: &Node| a.ledger.expelled & one(usize::from(b.origin)) != 0;
    let mut pairs = rest
        .nodes
        .iter()
        .flat_map(|a| rest.nodes.iter().map(move |b| (a, b)));
    pairs.any(|(a, b)| has_given_up(a, b) && has_given_up(b, a))
}

fn come_to_rest(mesh: &Mesh, bounds: &Bounds) -> Result<Mesh, Broken> {
    let mut now = *mesh;
    for node in 0..NODES {
        now.nodes[node].asking = None;
    }
    for _ in 0..12 {
        let before = now;
        // Time goes on after the last write.
        let noon = now.history.iter().flatten().map(|write| write.time);
        let noon = noon.max().unwrap_or(0).max(now.now()).min(100);
        for node in 0..NODES {
            now.nodes[node].clock = noon;
            let peers = (0..NODES).filter(|peer| (bounds.is_linked)(node, *peer) && *peer != node);
            for peer in peers {
                now = after(&now, Step::Compare(node, peer), bounds);
                always(&now)?;
            }
            for step in [
                Step::Advance(node),
                Step::Collect(node, 0),
                Step::Collect(node, 1),
            ] {
                now = after(&now, step, bounds);
                always(&now)?;
            }
        }
        if now == before {
            return Ok(now);
        }
    }
    Err(Broken::Diverged)
}

/// The newest write that is not void is there, or one that is void and newer; and no value that was knowingly deleted.
fn newest(rest: &Mesh, key: usize) -> Result<(), Broken> {
    let writes = || {
        let all = rest.history.iter().flatten();
        all.filter(|write| usize::from(write.key) == key)
    };
    let value = rest.row(0, key).and_then(|row| row.value);
    if rest.row(0, key).is_some() && value.is_none() {
        return Err(Broken::Kept { key });
    }
    let newest = writes().filter(|w| !w.is_void).max_by_key(|w| w.stamp());
    let is_newer = |write: &&Write| newest.is_none_or(|newest| write.stamp() > newest.stamp());
    let is_newest = newest.and_then(|newest| newest.value) == value;
    if !is_newest && !writes().filter(is_newer).any(|write| write.value == value) {
        return Err(Broken::Lost { key });
    }
    let is_dead = |value: u8| writes().any(|w| !w.is_void && w.buried & 1 << value != 0);
    match value {
        Some(value) if is_dead(value) => Err(Broken::Resurrected { key }),
        _ => Ok(()),
    }
}
