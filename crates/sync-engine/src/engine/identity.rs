//! Who this engine is in stamps.

use crate::item::stamp::Origin;

/// The identity; kept in an L3 of the engine's own, so that a restart is the same node, and a copy is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub node_id: String,
    /// A random number, new for each new storage and for each copy of one.
    pub incarnation: u64,
    /// What the storage looked like when this was written.
    pub fingerprint: String,
}

impl Identity {
    pub(super) fn origin(&self) -> Origin {
        Origin::of_node(&self.node_id, self.incarnation)
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        format!(
            "{}\n{}\n{}",
            self.incarnation, self.fingerprint, self.node_id
        )
        .into_bytes()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut lines = text.splitn(3, '\n');
        Some(Self {
            incarnation: lines.next()?.parse().ok()?,
            fingerprint: lines.next()?.into(),
            node_id: lines.next()?.into(),
        })
    }

    /// The identity of a run on an archive that other engines may use at the same time. Nothing is kept there: two of them
    /// would find the same name in it, and stamp under one origin.
    pub(super) fn among_others(node_id: Option<&str>, random: u64) -> Self {
        Self::resolve(None, node_id, None, random)
    }

    /// The identity of the run that begins, from the stored one, the configured node id and what the storage looks like
    /// now. `random` is used where a new one is needed.
    pub(super) fn resolve(
        stored: Option<Self>,
        node_id: Option<&str>,
        fingerprint: Option<&str>,
        random: u64,
    ) -> Self {
        let fingerprint = fingerprint.unwrap_or_default().to_string();
        let Some(stored) = stored else {
            return Self {
                node_id: node_id.map_or_else(|| format!("{random:016x}"), Into::into),
                // A node that lost its storage does not know what it has stamped; with its clock set back it would stamp the
                // same again.
                incarnation: random | 1,
                fingerprint,
            };
        };
        // A restored backup or a cloned directory: the stamps issued since the copy was made are unknown here, so none
        // may be issued under the same origin.
        let copied = !stored.fingerprint.is_empty()
            && !fingerprint.is_empty()
            && stored.fingerprint != fingerprint;
        let known = stored.node_id.clone();
        Self {
            node_id: node_id.map_or(known, Into::into),
            incarnation: if copied {
                random | 1
            } else {
                stored.incarnation
            },
            fingerprint: if fingerprint.is_empty() {
                stored.fingerprint
            } else {
                fingerprint
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_is_the_same_node_and_a_copy_is_another() {
        let first = Identity::resolve(None, Some("a"), Some("disk1"), 99);
        assert_eq!(Identity::from_bytes(&first.to_bytes()), Some(first.clone()));
        let restart = Identity::resolve(Some(first.clone()), Some("a"), Some("disk1"), 5);
        assert_eq!(restart.origin(), first.origin());
        let copy = Identity::resolve(Some(first.clone()), Some("a"), Some("disk2"), 7);
        assert_ne!(copy.origin(), first.origin());
        let restart_of_copy = Identity::resolve(Some(copy.clone()), Some("a"), Some("disk2"), 8);
        assert_eq!(restart_of_copy.origin(), copy.origin());
        let unnamed = Identity::resolve(None, None, None, 3);
        assert_eq!(
            Identity::resolve(Some(unnamed.clone()), None, None, 4),
            unnamed
        );
    }

    #[test]
    fn a_node_that_lost_its_storage_stamps_under_a_new_origin() {
        let origin = |random| Identity::resolve(None, Some("a"), Some("disk"), random).origin();
        assert_ne!(origin(2), origin(4));
    }

    #[test]
    fn engines_that_share_an_archive_have_an_origin_each() {
        let unnamed = |random| Identity::among_others(None, random).origin();
        assert_ne!(unnamed(2), unnamed(4));
        let named = |random| Identity::among_others(Some("a"), random).origin();
        assert_ne!(named(2), named(4));
    }
}
