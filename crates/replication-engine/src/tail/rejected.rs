//! Entries that are no events, kept for inspection.

use std::collections::VecDeque;

use bytes::Bytes;
use sync_engine::cdc::stream_id::StreamId;

use crate::limits::{REJECTED_BYTES_MAX, REJECTED_KEPT_MAX};

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Its place in the peer's stream; `None`: it came as an answer of the cold path.
    pub id: Option<StreamId>,
    /// What is wrong with it.
    pub reason: String,
    /// Its beginning: names and values of the fields, escaped and cut off.
    pub excerpt: String,
}

/// The last ones of a peer.
#[derive(Clone, Debug, Default)]
pub struct RejectedRing {
    kept: VecDeque<Rejected>,
    total: u64,
}

impl RejectedRing {
    /// Keeps one, and forgets the oldest past the bound.
    pub fn push(&mut self, rejected: Rejected) {
        self.total += 1;
        if self.kept.len() >= REJECTED_KEPT_MAX {
            self.kept.pop_front();
        }
        self.kept.push_back(rejected);
    }

    /// How many there were in all.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Those kept, oldest first.
    pub fn kept(&self) -> impl Iterator<Item = &Rejected> {
        self.kept.iter()
    }
}

/// The beginning of an entry, safe to show. Payloads are left out: they are the callers', not ours to show.
pub fn excerpt(fields: &[(Bytes, Bytes)]) -> String {
    let mut text = String::new();
    for (name, value) in fields.iter().take(16) {
        let shown = match &name[..] {
            b"data" => format!("<{} bytes>", value.len()),
            _ => value.get(..64).unwrap_or(value).escape_ascii().to_string(),
        };
        let name = name.get(..32).unwrap_or(name).escape_ascii();
        text.push_str(&format!("{name}={shown} "));
        if text.len() >= REJECTED_BYTES_MAX {
            break;
        }
    }
    // Escaped text is ASCII, so that every byte is a place to cut.
    text.truncate(REJECTED_BYTES_MAX);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn i8_what_is_kept_is_small(entries in prop::collection::vec(prop::collection::vec(any::<(Vec<u8>, Vec<u8>)>(), 0..20), 0..130)) {
            let mut ring = RejectedRing::default();
            let count = entries.len();
            for fields in entries {
                let fields: Vec<(Bytes, Bytes)> = fields.into_iter().map(|(n, v)| (n.into(), v.into())).collect();
                ring.push(Rejected { id: None, reason: String::new(), excerpt: excerpt(&fields) });
            }
            prop_assert_eq!(ring.total(), count as u64);
            prop_assert!(ring.kept().count() <= REJECTED_KEPT_MAX);
            prop_assert!(ring.kept().all(|one| one.excerpt.len() <= REJECTED_BYTES_MAX));
        }
    }

    #[test]
    fn payloads_are_not_shown() {
        let fields = [
            ("op".into(), "PUT".into()),
            ("data".into(), Bytes::from("secret")),
        ];
        assert_eq!(excerpt(&fields), "op=PUT data=<6 bytes> ");
    }
}
