//! The outcome of a comparison.

use std::collections::HashSet;
use std::fmt;

/// What is wrong with a key on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// An acknowledged write is missing.
    Lost,
    /// A deleted key is there.
    Resurrected,
    /// Other bytes than those of the newest write.
    Mismatched,
    /// Each node holds something that it may hold, but not the same.
    Disagreement,
    /// A key that nobody wrote.
    Stranger,
}

impl FaultKind {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Lost,
        Self::Resurrected,
        Self::Mismatched,
        Self::Disagreement,
        Self::Stranger,
    ];
}

/// A key that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The key.
    pub key: String,
    /// Which node.
    pub node: usize,
    /// What is wrong.
    pub kind: FaultKind,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let node = super::super::NAMES.get(self.node).copied().unwrap_or("?");
        match self.kind {
            FaultKind::Lost => write!(f, "{}: missing on {node}", self.key),
            FaultKind::Resurrected => write!(f, "{}: deleted, but there on {node}", self.key),
            FaultKind::Mismatched => write!(f, "{}: wrong bytes on {node}", self.key),
            FaultKind::Disagreement => write!(f, "{}: not the same on all nodes", self.key),
            FaultKind::Stranger => write!(f, "{}: on {node}, and nobody wrote it", self.key),
        }
    }
}

/// The outcome of a comparison.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Keys that were compared.
    pub checked: usize,
    /// What was wrong.
    pub faults: Vec<Fault>,
}

impl Verdict {
    fn of(&self, kinds: &[FaultKind]) -> impl Iterator<Item = &Fault> {
        self.faults
            .iter()
            .filter(move |fault| kinds.contains(&fault.kind))
    }

    /// How many keys have faults of these kinds, on whichever nodes.
    #[must_use]
    pub fn count(&self, kinds: &[FaultKind]) -> usize {
        self.of(kinds)
            .map(|fault| &fault.key)
            .collect::<HashSet<_>>()
            .len()
    }

    /// The first few faults of these kinds, for people; empty when there are none.
    #[must_use]
    pub fn shown(&self, kinds: &[FaultKind]) -> String {
        let mut lines: Vec<String> = self.of(kinds).take(5).map(ToString::to_string).collect();
        let count = self.of(kinds).count();
        if count > lines.len() {
            lines.push(format!("and {} more", count - lines.len()));
        }
        lines.join("; ")
    }
}
