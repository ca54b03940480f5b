//! What a node knows of who has merged what.

use crate::mesh::NODES;

/// Origins: each node has one, and the next one when it begins anew.
pub const ORIGINS: usize = 4 * NODES;

/// A set of origins.
pub type Origins = u16;

/// A stamp's time; the origin decides between equal ones elsewhere. A bound says: up to here, this included.
pub type Time = u8;

/// What a node keeps beside its rows, in the same storage, and tells whoever asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ledger {
    /// Of each origin: all that it wrote up to here has been merged.
    pub seen: [Time; ORIGINS],
    /// Of each origin: the latest write that was taken by any way, with gaps before it perhaps.
    pub met: [Time; ORIGINS],
    /// Of each origin: its level when a set that had all of its rows was merged.
    pub settled: [Time; ORIGINS],
    /// Of each origin: the greatest depth heard of.
    pub depths: [Time; ORIGINS],
    /// Of each origin: whom it had given up when a set that had all of its rows was merged.
    pub given_up: [Origins; ORIGINS],
    /// Level: all that any member wrote up to here has been merged.
    pub level: Time,
    /// Nothing up to here is taken from a stream any more. Not below the level; above it while the node joins.
    pub shut: Time,
    /// Depth: of every member, a set was merged that was read at this level or above.
    pub depth: Time,
    /// Watermark: every member has this depth. Tombstones up to here are collected.
    pub watermark: Time,
    /// Who has to have merged something, the expelled among them.
    pub members: Origins,
    /// Whom this node has given up: for good, since whoever comes back has another origin.
    pub expelled: Origins,
    /// The expelled that all others have given up, too: they count no more.
    pub left_out: Origins,
    /// Whether others may take what this node has.
    pub is_joined: bool,
}

/// The node that an origin belongs to.
pub fn node_of(origin: usize) -> usize {
    origin % NODES
}

/// The set of one.
pub fn one(origin: usize) -> Origins {
    1 << origin
}

fn each(set: Origins) -> impl Iterator<Item = usize> {
    (0..ORIGINS).filter(move |at| set & one(*at) != 0)
}

impl Ledger {
    /// What follows from all that was heard. Levels and depths never fall: they were told.
    pub fn raise(&mut self, own: usize, clock: Time, rules: Rules) {
        self.seen[own] = self.seen[own].max(clock);
        self.given_up[own] = self.expelled;
        self.left_out = self.expelled & self.agreed(rules);
        if !self.is_joined {
            return;
        }
        self.level = self.level.max(self.least(&self.seen));
        self.shut = self.shut.max(self.level);
        self.settled[own] = self.settled[own].max(self.level);
        let depth = match rules.is_one_round {
            true => self.level,
            false => self.least(&self.settled),
        };
        self.depth = self.depth.max(depth);
        self.depths[own] = self.depths[own].max(self.depth);
    }

    /// Whom all that remain have given up.
    fn agreed(&self, rules: Rules) -> Origins {
        let remaining = || each(self.members & !self.expelled);
        match rules.is_anybody_left_out {
            true => self.expelled,
            false => remaining().fold(!0, |all, at| all & self.given_up[at]),
        }
    }

    /// The watermark that the members' depths allow.
    pub fn allowed(&self) -> Time {
        self.least(&self.depths)
    }

    /// Whether more than half of the nodes remain if these are given up.
    pub fn is_majority_without(&self, expelled: Origins) -> bool {
        let nodes = |set: Origins| each(set).fold(0u8, |all, at| all | 1 << node_of(at));
        let remaining = nodes(self.members & !expelled).count_ones();
        remaining * 2 > nodes(self.members).count_ones()
    }

    /// After a set of the peer was merged, of which this ledger was read before.
    pub fn join(&mut self, theirs: &Ledger, peer: usize) {
        for at in 0..ORIGINS {
            self.seen[at] = self.seen[at].max(theirs.seen[at]);
            self.met[at] = self.met[at].max(theirs.met[at]);
            self.settled[at] = self.settled[at].max(theirs.settled[at]);
            self.given_up[at] |= theirs.given_up[at];
        }
        self.settled[peer] = self.settled[peer].max(theirs.level);
    }

    /// What is true whoever says it: others' depths, who is there, and who was given up.
    pub fn hear(&mut self, own: usize, theirs: &Ledger, rules: Rules) {
        for (ours, theirs) in self.depths.iter_mut().zip(theirs.depths) {
            *ours = (*ours).max(theirs);
        }
        self.admit(theirs.members);
        let expelled = self.expelled | theirs.expelled & !one(own);
        if !rules.is_anybody_left_out && self.is_majority_without(expelled) {
            self.expelled = expelled;
        }
    }

    /// New members; whoever begins anew is given up under the former origin.
    pub fn admit(&mut self, members: Origins) {
        self.members |= members;
        let is_former = |at: &usize| {
            let mut later = (at + NODES..ORIGINS).step_by(NODES);
            later.any(|later| self.members & one(later) != 0)
        };
        let former = each(self.members).filter(is_former);
        self.expelled |= former.fold(0, |all, at| all | one(at));
    }

    /// Whether who has this ledger has all that the other's watermark rests on. Members do; who joined by way of somebody that
    /// had been given up does not.
    pub fn is_abreast(&self, other: &Ledger) -> bool {
        self.depth >= other.watermark
    }

    fn least(&self, times: &[Time; ORIGINS]) -> Time {
        let counted = each(self.members & !self.left_out);
        counted.map(|at| times[at]).min().unwrap_or(0)
    }
}

/// What is left out of the rules, if anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// A member is left out by whoever likes, and not by all that remain together, if they are more than half.
    pub is_anybody_left_out: bool,
    /// The level is taken for the depth.
    pub is_one_round: bool,
}
