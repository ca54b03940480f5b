//! A comparison with a peer: its ledger is read, then its rows are merged, then what the ledger said is believed.

use crate::Flaw;
use crate::ledger::{Ledger, ORIGINS, node_of, one};
use crate::mesh::{Asking, KEYS, Mesh, NODES, Value};

/// What a comparison is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Both count: rows are merged by their stamps.
    Merge,
    /// The node has been given up, or is new: up to the peer's level the peer's rows become its own.
    Join,
    /// Nothing is taken.
    Nothing,
}

/// The peer is asked for its ledger, and from then on counts who asks among its members.
pub fn begin(mesh: &mut Mesh, node: usize, peer: usize, flaw: Flaw) {
    let theirs = tell(mesh, peer, flaw);
    find_out(mesh, node, peer, &theirs, flaw);
    let purpose = purpose(mesh, node, peer, &theirs, flaw);
    let us = usize::from(mesh.nodes[node].origin);
    if purpose != Purpose::Nothing {
        mesh.nodes[peer].ledger.admit(one(us));
    }
    let theirs = tell(mesh, peer, flaw);
    let node = &mut mesh.nodes[node];
    let ledger = &mut node.ledger;
    match purpose {
        Purpose::Join => {
            // What the streams still have may be what the peer has collected.
            ledger.shut = ledger.shut.max(theirs.level);
            // From now on it writes above what the peer has promised to have.
            node.clock = node.clock.max(theirs.level);
        }
        Purpose::Merge => {
            ledger.hear(us, &theirs, flaw.rules());
            ledger.watermark = ledger.watermark.max(theirs.watermark);
        }
        // It is heard that one is given up, and by whom.
        Purpose::Nothing if ledger.is_joined => ledger.hear(us, &theirs, flaw.rules()),
        Purpose::Nothing => {}
    }
    let asking = Asking {
        peer: peer as u8,
        theirs,
        purpose,
        copied: 0,
    };
    node.asking = (purpose != Purpose::Nothing).then_some(asking);
}

/// Whether one has been given up, or, while one is new, who else has.
fn find_out(mesh: &mut Mesh, node: usize, peer: usize, theirs: &Ledger, flaw: Flaw) {
    let us = mesh.nodes[node];
    let is_left_out = theirs.left_out & one(usize::from(us.origin)) != 0;
    let is_late = theirs.is_joined && us.ledger.is_joined && !us.ledger.is_abreast(theirs);
    let is_ahead = theirs.watermark >= us.ledger.watermark;
    if (is_left_out || is_late) && is_ahead && flaw != Flaw::NoRejoin {
        begin_anew(mesh, node);
    }
    let node = &mut mesh.nodes[node];
    if !node.ledger.is_joined {
        node.asked |= 1 << peer;
        // The verdict of a peer that has begun anew itself is none.
        node.heard[peer] = match theirs.is_joined {
            true => theirs.left_out,
            false => 0,
        };
        node.ledger.expelled = node.heard.iter().fold(0, |all, heard| all | heard);
    }
}

fn purpose(mesh: &Mesh, node: usize, peer: usize, theirs: &Ledger, flaw: Flaw) -> Purpose {
    let (us, them) = (&mesh.nodes[node], &mesh.nodes[peer]);
    let is_given_up = us.ledger.expelled & one(usize::from(them.origin)) != 0;
    let are_given_up = theirs.expelled & one(usize::from(us.origin)) != 0;
    match theirs.is_joined {
        _ if flaw == Flaw::MergeFromExpelled && us.ledger.is_joined => Purpose::Merge,
        false if flaw == Flaw::MergeFromUnjoined && us.ledger.is_joined => Purpose::Merge,
        // Whoever is given up may not know it: all peers are heard first.
        true if !us.ledger.is_joined && us.asked != us.peers => Purpose::Nothing,
        true if !us.ledger.is_joined && is_given_up => Purpose::Nothing,
        true if !us.ledger.is_joined && theirs.watermark < us.ledger.watermark => Purpose::Nothing,
        true if !us.ledger.is_joined => Purpose::Join,
        true if flaw == Flaw::NoRejoin && !is_given_up => Purpose::Merge,
        true if !theirs.is_abreast(&us.ledger) => Purpose::Nothing,
        true if !is_given_up && !are_given_up => Purpose::Merge,
        _ => Purpose::Nothing,
    }
}

/// From here on the node writes under another origin, and is not listened to until it has joined. Of what it knew of others
/// nothing counts any more.
fn begin_anew(mesh: &mut Mesh, node: usize) {
    let node = &mut mesh.nodes[node];
    if usize::from(node.origin) + NODES >= ORIGINS {
        // As often as the model can count; it shows as a mesh that never comes to rest.
        return;
    }
    node.asked = 0;
    node.heard = [0; NODES];
    node.origin += NODES as u8;
    node.ledger = Ledger {
        shut: node.ledger.shut,
        watermark: node.ledger.watermark,
        members: one(usize::from(node.origin)),
        ..Ledger::default()
    };
}

fn tell(mesh: &mut Mesh, peer: usize, flaw: Flaw) -> Ledger {
    let peer = &mut mesh.nodes[peer];
    let (origin, clock) = (usize::from(peer.origin), peer.clock);
    peer.ledger.raise(origin, clock, flaw.rules());
    peer.ledger
}

/// One key of the peer is merged, once in each comparison; the rest may never be.
pub fn copy(mesh: &mut Mesh, node: usize, key: usize, flaw: Flaw) {
    let Some(asking) = &mut mesh.nodes[node].asking else {
        return;
    };
    if asking.copied & 1 << key != 0 {
        return;
    }
    asking.copied |= 1 << key;
    let asking = *asking;
    let theirs = mesh.nodes[usize::from(asking.peer)].rows[key];
    if asking.purpose == Purpose::Join && flaw != Flaw::JoinKeepsAll {
        give_way(mesh, node, key, &asking, flaw);
    }
    if let Some(at) = theirs {
        take(mesh, node, at, flaw);
    }
}

/// Up to the peer's level the peer's row is the row. What the node itself wrote and nobody can have seen is written again.
fn give_way(mesh: &mut Mesh, node: usize, key: usize, asking: &Asking, flaw: Flaw) {
    let theirs = mesh.nodes[usize::from(asking.peer)].rows[key];
    let (Some(at), Some(ours)) = (mesh.nodes[node].rows[key], mesh.row(node, key)) else {
        return;
    };
    if ours.time > asking.theirs.level || theirs == Some(at) {
        return;
    }
    let origin = usize::from(ours.origin);
    let is_newer = theirs.is_none_or(|at| mesh.write(at).stamp() < ours.stamp());
    let is_lost = is_newer && ours.time > asking.theirs.seen[origin];
    // Later than anything that was taken of this origin: nobody can have seen it, and deleted it knowingly.
    let is_new = ours.time > asking.theirs.met[origin] || flaw == Flaw::RescueAll;
    let is_ours = is_new && node_of(origin) == node && flaw != Flaw::NoRescue;
    mesh.nodes[node].rows[key] = None;
    match ours.value {
        Some(value) if is_lost && is_ours => drop(mesh.put(node, key, Value::Again(value))),
        None if is_lost && is_ours && theirs.is_some() => {
            mesh.put(node, key, Value::Tombstone);
        }
        _ if is_lost && flaw != Flaw::NoRescue => {
            mesh.nodes[node].had &= !(1 << at);
            mesh.give_up(node, at);
        }
        _ => {}
    }
}

/// A tombstone of a key that is not there is not taken up to the watermark: it was collected.
fn take(mesh: &mut Mesh, node: usize, at: u8, flaw: Flaw) {
    let write = mesh.write(at);
    let ours = &mesh.nodes[node];
    let is_held = ours.rows[usize::from(write.key)].is_some();
    let is_due = write.value.is_none() && write.time <= ours.ledger.watermark;
    if !is_due || is_held || flaw == Flaw::PullBack {
        mesh.merge(node, at);
    }
}

/// The other keys are merged, and what the peer said before is true of this node, too.
pub fn finish(mesh: &mut Mesh, node: usize, flaw: Flaw) {
    (0..KEYS).for_each(|key| copy(mesh, node, key, flaw));
    let Some(mut asking) = mesh.nodes[node].asking.take() else {
        return;
    };
    let peer = usize::from(asking.peer);
    if flaw == Flaw::LedgerReadLate {
        asking.theirs = tell(mesh, peer, flaw);
    }
    let origin = usize::from(mesh.nodes[peer].origin);
    let node = &mut mesh.nodes[node];
    let (own, clock) = (usize::from(node.origin), node.clock);
    match asking.purpose {
        Purpose::Merge => node.ledger.join(&asking.theirs, origin),
        Purpose::Join => {
            let (shut, met) = (node.ledger.shut, node.ledger.met);
            node.ledger = asking.theirs;
            node.ledger.shut = shut;
            node.ledger.met = met;
            asking
                .theirs
                .met
                .iter()
                .zip(&mut node.ledger.met)
                .for_each(|(theirs, met)| *met = (*met).max(*theirs));
            node.ledger.settled[origin] = asking.theirs.level;
        }
        Purpose::Nothing => {}
    }
    node.ledger.raise(own, clock, flaw.rules());
}
