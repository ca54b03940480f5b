//! The state of a small mesh: nodes, and everything that was ever written.

use crate::exchange::Purpose;
use crate::ledger::{Ledger, Origins, Time, one};

/// Nodes.
pub const NODES: usize = 3;

/// Keys.
pub const KEYS: usize = 2;

/// Most writes of a run, those that a rejoining node writes again included.
pub const WRITES: usize = 7;

/// A set of writes, by their place in the history.
pub type Writes = u8;

/// A write: a value, or a tombstone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Write {
    /// Of which key.
    pub key: u8,
    /// When: the greater (time, origin) wins.
    pub time: Time,
    /// By whom.
    pub origin: u8,
    /// Which write first brought this value; `None`: a tombstone.
    pub value: Option<u8>,
    /// The values that its writer had seen of this key, and replaced knowingly.
    pub buried: Writes,
    /// Whether a stream has it: what a node writes before it has joined is not published.
    pub is_published: bool,
    /// It was lost with the only storage that had it: it may turn up again, or not.
    pub is_void: bool,
}

impl Write {
    /// Its place in the order of writes.
    pub fn stamp(&self) -> (Time, u8) {
        (self.time, self.origin)
    }
}

/// A comparison under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Asking {
    /// Of whom.
    pub peer: u8,
    /// What it said first.
    pub theirs: Ledger,
    /// What is done with its rows.
    pub purpose: Purpose,
    /// The keys that were merged.
    pub copied: u8,
}

/// A node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Node {
    /// Under which origin it writes.
    pub origin: u8,
    /// Whom its settings name, by node.
    pub peers: u8,
    /// Whom of them it has asked since it began anew.
    pub asked: u8,
    /// Whom each of them, when asked last, said to be left out.
    pub heard: [Origins; NODES],
    /// The greatest time it has issued or merged.
    pub clock: Time,
    /// For each key the write it holds.
    pub rows: [Option<u8>; KEYS],
    /// Kept with the rows.
    pub ledger: Ledger,
    /// Not kept.
    pub asking: Option<Asking>,
    /// Values that were here, for whoever writes next.
    pub met: Writes,
    /// Writes that were taken here.
    pub had: Writes,
    /// Tombstones collected here: they must not be here again.
    pub collected: Writes,
}

/// Nodes and history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mesh {
    /// All nodes.
    pub nodes: [Node; NODES],
    /// All writes, in the order in which they were made; streams may bring any of them at any time.
    pub history: [Option<Write>; WRITES],
    /// Storages lost.
    pub wipes: u8,
    /// Expulsions.
    pub expulsions: u8,
    /// Writes asked for by users.
    pub asked: u8,
}

impl Mesh {
    /// Empty nodes, each of which has been told of its neighbours.
    pub fn new(is_linked: impl Fn(usize, usize) -> bool) -> Self {
        let mut nodes = [Node::default(); NODES];
        for (at, node) in nodes.iter_mut().enumerate() {
            node.origin = at as u8;
            let peers = (0..NODES).filter(|peer| *peer != at && is_linked(at, *peer));
            node.peers = peers.fold(0, |all, peer| all | 1 << peer);
            let told = (0..NODES).filter(|peer| *peer == at || is_linked(at, *peer));
            node.ledger.members = told.fold(0, |all, peer| all | one(peer));
            // Nothing was ever collected: there is nobody to learn from.
            node.ledger.is_joined = true;
        }
        Self {
            nodes,
            history: [None; WRITES],
            wipes: 0,
            expulsions: 0,
            asked: 0,
        }
    }

    /// The write at a place of the history that has one.
    pub fn write(&self, at: u8) -> Write {
        self.history[usize::from(at)].expect("a row names a write of the history")
    }

    /// What a node holds of a key.
    pub fn row(&self, node: usize, key: usize) -> Option<Write> {
        self.nodes[node].rows[key].map(|at| self.write(at))
    }

    /// The greatest time of any clock.
    pub fn now(&self) -> Time {
        self.nodes.iter().map(|node| node.clock).max().unwrap_or(0)
    }

    /// How many writes there are.
    pub fn written(&self) -> usize {
        self.history.iter().flatten().count()
    }

    /// A new write of a node; false: no room for it in the history.
    pub fn put(&mut self, node: usize, key: usize, value: Value) -> bool {
        let at = self.written();
        if at >= WRITES {
            return false;
        }
        let writer = &mut self.nodes[node];
        writer.clock += 1;
        let value = match value {
            Value::New => Some(at as u8),
            Value::Again(value) => Some(value),
            Value::Tombstone => None,
        };
        let (time, origin, met) = (writer.clock, writer.origin, writer.met);
        let is_published = writer.ledger.is_joined;
        let own = value.map_or(0, |value| 1 << value);
        let buried = self.values_of(key) & met & !own;
        let key_name = key as u8;
        self.history[at] = Some(Write {
            key: key_name,
            time,
            origin,
            value,
            buried,
            is_published,
            is_void: false,
        });
        self.hold(node, at as u8);
        true
    }

    /// The node holds this write from now on.
    pub fn hold(&mut self, node: usize, at: u8) {
        let write = self.write(at);
        let node = &mut self.nodes[node];
        node.rows[usize::from(write.key)] = Some(at);
        node.clock = node.clock.max(write.time);
        node.met |= write.value.map_or(0, |value| 1 << value);
        node.had |= 1 << at;
        let met = &mut node.ledger.met[usize::from(write.origin)];
        *met = (*met).max(write.time);
    }

    /// Takes a write if it is newer than what is there.
    pub fn merge(&mut self, node: usize, at: u8) {
        let write = self.write(at);
        let ours = self.row(node, usize::from(write.key));
        if ours.is_none_or(|ours| ours.stamp() < write.stamp()) {
            self.hold(node, at);
        }
    }

    /// What a node loses, and what that had replaced, is void where no other ever had it, or something newer.
    pub fn give_up(&mut self, node: usize, at: u8) {
        let lost = self.write(at);
        let had = |other: usize| {
            let others = self.nodes.iter().enumerate();
            let mut others = others.filter(|(at, _)| *at != node);
            others.any(|(_, state)| state.had & 1 << other != 0)
        };
        let of_key = |write: &Write| write.key == lost.key;
        let known = self
            .history
            .iter()
            .enumerate()
            .filter_map(|(other, write)| {
                let write = write.filter(of_key)?;
                had(other).then(|| write.stamp())
            });
        let newest = known.max();
        for write in self.history.iter_mut().flatten().filter(|w| of_key(w)) {
            let is_met = newest.is_some_and(|newest| newest >= write.stamp());
            write.is_void |= write.stamp() <= lost.stamp() && !is_met;
        }
    }

    /// Values that a write which was at a node has replaced knowingly: they must not be there again.
    pub fn gone(&self, node: usize) -> Writes {
        let had = |at: &usize| self.nodes[node].had & 1 << at != 0;
        let writes = (0..self.written())
            .filter(had)
            .map(|at| self.write(at as u8));
        let lasting = writes.filter(|write| !write.is_void);
        lasting.fold(0, |all, write| all | write.buried)
    }

    fn values_of(&self, key: usize) -> Writes {
        let writes = self.history.iter().flatten();
        let values = writes.filter(|write| usize::from(write.key) == key);
        values
            .filter_map(|write| write.value)
            .fold(0, |all, value| all | 1 << value)
    }
}

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// A value of its own.
    New,
    /// The value that this write brought.
    Again(u8),
    /// None.
    Tombstone,
}
