//! What may happen next.

use crate::Flaw;
use crate::exchange;
use crate::ledger::{ORIGINS, node_of, one};
use crate::mesh::{KEYS, Mesh, NODES, Node, Value};

/// Something that happens at a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A user writes a key.
    Put(usize, usize),
    /// A user deletes a key; one that is not there, too.
    Delete(usize, usize),
    /// The clock catches up with the fastest. Clocks that do not are slow.
    Tick(usize),
    /// A stream brings a write, however old.
    Stream(usize, u8),
    /// A whole comparison at once: [`Step::Begin`] and [`Step::Finish`].
    Compare(usize, usize),
    /// A node asks a peer for its ledger.
    Begin(usize, usize),
    /// It merges one key of it.
    Copy(usize, usize),
    /// It merges all, and believes the ledger.
    Finish(usize),
    /// It gives the comparison up, or crashes.
    Stop(usize),
    /// The watermark rises to what is allowed.
    Advance(usize),
    /// The tombstone of a key is collected.
    Collect(usize, usize),
    /// A node gives up another.
    Expel(usize, usize),
    /// The last node loses its storage, and the time with it.
    Wipe,
}

/// How much may happen, and between whom.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Writes and deletes of users.
    pub writes: u8,
    /// Storages lost.
    pub wipes: u8,
    /// Expulsions.
    pub expulsions: u8,
    /// Whether two nodes ask each other.
    pub is_linked: fn(usize, usize) -> bool,
    /// Whether comparisons take time, and may stop half way.
    pub is_slow: bool,
    /// Keys in use.
    pub keys: usize,
    /// What is left out.
    pub flaw: Flaw,
}

/// Every step that can be taken in this state.
pub fn steps(mesh: &Mesh, bounds: &Bounds) -> Vec<Step> {
    let mut steps = Vec::new();
    for at in 0..NODES {
        let node = &mesh.nodes[at];
        if mesh.asked < bounds.writes {
            // The second key is like the first, as long as neither was written.
            let keys = (mesh.written() + 1).min(bounds.keys);
            steps.extend((0..keys).map(|key| Step::Put(at, key)));
            steps.extend((0..keys).map(|key| Step::Delete(at, key)));
        }
        if node.clock < mesh.now() {
            steps.push(Step::Tick(at));
        }
        steps.extend((0..mesh.written()).map(|write| Step::Stream(at, write as u8)));
        let peers = (0..NODES).filter(|peer| (bounds.is_linked)(at, *peer) && *peer != at);
        match node.asking {
            None => {
                let peers: Vec<usize> = peers.collect();
                steps.extend(peers.iter().map(|peer| Step::Compare(at, *peer)));
                let slow = peers.iter().filter(|_| bounds.is_slow);
                steps.extend(slow.map(|peer| Step::Begin(at, *peer)));
            }
            Some(_) => {
                steps.extend([Step::Finish(at), Step::Stop(at)]);
                steps.extend((0..bounds.keys).map(|key| Step::Copy(at, key)));
            }
        }
        steps.push(Step::Advance(at));
        steps.extend((0..bounds.keys).map(|key| Step::Collect(at, key)));
        if mesh.expulsions < bounds.expulsions {
            let others = (0..NODES).filter(|other| may_expel(mesh, at, *other, bounds));
            steps.extend(others.map(|other| Step::Expel(at, other)));
        }
    }
    if mesh.wipes < bounds.wipes && may_wipe(mesh) {
        steps.push(Step::Wipe);
    }
    steps
}

/// A member may be given up where more than half remain, and can ask each other: in a chain the loss of the middle is the loss
/// of the end, too.
fn may_expel(mesh: &Mesh, at: usize, node: usize, bounds: &Bounds) -> bool {
    let (us, ledger) = (&mesh.nodes[at], &mesh.nodes[at].ledger);
    let other = usize::from(mesh.nodes[node].origin);
    let is_first = other < NODES && other != usize::from(us.origin);
    let is_member = ledger.members & !ledger.expelled & one(other) != 0;
    let is_majority = ledger.is_majority_without(ledger.expelled | one(other));
    let third = (2 * NODES - at - node) % NODES;
    let is_whole = (bounds.is_linked)(at, third);
    is_first && is_member && is_whole && (is_majority || bounds.flaw == Flaw::ExpelAlone)
}

/// Not while the node is the only one that has heard of a newcomer: that is two failures at once, which the protocol does not
/// survive.
fn may_wipe(mesh: &Mesh) -> bool {
    let last = NODES - 1;
    let known = |origin: &usize| {
        let others = (0..last).filter(|at| *at != node_of(*origin));
        let mut ledgers = others.map(|at| mesh.nodes[at].ledger);
        ledgers.any(|ledger| ledger.members & one(*origin) != 0)
    };
    let members = mesh.nodes[last].ledger.members;
    let mut others = (0..ORIGINS).filter(|at| members & one(*at) != 0 && node_of(*at) != last);
    usize::from(mesh.nodes[last].origin) == last && others.all(|origin| known(&origin))
}

/// The state after a step.
pub fn after(mesh: &Mesh, step: Step, bounds: &Bounds) -> Mesh {
    let flaw = bounds.flaw;
    let mut next = *mesh;
    match step {
        Step::Put(node, key) => {
            next.asked += 1;
            next.put(node, key, Value::New);
        }
        Step::Delete(node, key) => {
            next.asked += 1;
            next.put(node, key, Value::Tombstone);
        }
        Step::Tick(node) => next.nodes[node].clock = mesh.now(),
        Step::Stream(node, write) => {
            let (write_of, ledger) = (mesh.write(write), mesh.nodes[node].ledger);
            let known = ledger.members & !ledger.expelled & one(usize::from(write_of.origin));
            let is_open = write_of.time > ledger.shut || flaw == Flaw::StreamBelowLevel;
            if write_of.is_published && known != 0 && is_open {
                next.merge(node, write);
            }
        }
        Step::Compare(node, peer) => {
            exchange::begin(&mut next, node, peer, flaw);
            exchange::finish(&mut next, node, flaw);
        }
        Step::Begin(node, peer) => exchange::begin(&mut next, node, peer, flaw),
        Step::Copy(node, key) => exchange::copy(&mut next, node, key, flaw),
        Step::Finish(node) => exchange::finish(&mut next, node, flaw),
        Step::Stop(node) => next.nodes[node].asking = None,
        Step::Advance(node) => advance(&mut next.nodes[node], flaw),
        Step::Collect(node, key) => collect(&mut next, node, key, flaw),
        Step::Expel(node, other) => {
            next.expulsions += 1;
            next.nodes[node].ledger.expelled |= one(usize::from(mesh.nodes[other].origin));
            next.nodes[node].asking = None;
        }
        Step::Wipe => wipe(&mut next),
    }
    next
}

fn advance(node: &mut Node, flaw: Flaw) {
    let (own, clock) = (usize::from(node.origin), node.clock);
    node.ledger.raise(own, clock, flaw.rules());
    if node.ledger.is_joined {
        let allowed = node.ledger.allowed();
        node.ledger.watermark = node.ledger.watermark.max(allowed);
    }
}

fn collect(mesh: &mut Mesh, node: usize, key: usize, flaw: Flaw) {
    let (Some(at), Some(row)) = (mesh.nodes[node].rows[key], mesh.row(node, key)) else {
        return;
    };
    let node = &mut mesh.nodes[node];
    let is_due = row.time <= node.ledger.watermark || flaw == Flaw::CollectWithoutWatermark;
    if row.value.is_none() && is_due {
        node.rows[key] = None;
        node.collected |= 1 << at;
    }
}

fn wipe(mesh: &mut Mesh) {
    let at = NODES - 1;
    (0..mesh.written() as u8).for_each(|write| mesh.give_up(at, write));
    let mut node = Node {
        origin: (at + NODES) as u8,
        peers: mesh.nodes[at].peers,
        ..Node::default()
    };
    node.ledger.members = one(at + NODES);
    mesh.nodes[at] = node;
    mesh.wipes += 1;
    for node in &mut mesh.nodes {
        // An answer names the storage it comes from.
        node.asking = node.asking.filter(|asking| usize::from(asking.peer) != at);
    }
}

const _: () = assert!(KEYS <= 2);
