//! The bytes in which questions and answers travel.
//!
//! ```text
//! question = 1  groups_max leaves_max  n  n × prefix
//! answer   = 1  n  n × (prefix  count  hash[16])
//!            m  if m > 0: origins  origins × origin[8]  time₀  m × (prefix  kind  time − time₀  if live: hash[8])
//! prefix   = shared  length  bytes[length]     shared: bytes taken over from the prefix before; at first from the question
//! kind     = 2 × index of the origin + (1 if live)
//! ```
//! All numbers are varints ([`super::wire`]). Prefixes within a list ascend; groups do not overlap.

use super::summary::{Detail, Group, ShortLeaf, Summary};
use super::wire::{Input, WireError, put_varint};
use crate::item::key::{InvalidKey, Key};
use crate::item::stamp::{HlcTime, Origin, Stamp};
use crate::limits::KEY_BYTES_MAX;

/// The first byte of every message.
const FORMAT: u8 = 1;

/// Most groups, and most leaves, of one answer that is accepted.
pub const SUMMARY_ITEMS_MAX: usize = 1024;

/// Most prefixes of one question that is accepted.
pub const QUESTION_PREFIXES_MAX: usize = 4096;

/// Bytes that are no question or no answer. Nothing of them is used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// They end early, go on too long, or hold a number or length that is none.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// Another format than this engine speaks.
    #[error("unknown format {0}")]
    Format(u8),
    /// A prefix is longer than a key may be, or takes over more than there is.
    #[error("a prefix is malformed")]
    Prefix,
    /// The entries of a list do not ascend, or overlap.
    #[error("{0} are out of order")]
    Order(&'static str),
    /// A leaf names an origin that is not listed, or a time out of range.
    #[error("a stamp is malformed")]
    Stamp,
    /// A key cannot be a key.
    #[error("a key is invalid: {0}")]
    Key(#[from] InvalidKey),
}

/// The bytes of a question about these prefixes, which ascend.
pub fn encode_question(prefixes: &[Vec<u8>], detail: Detail) -> Vec<u8> {
    let mut out = vec![FORMAT];
    put_varint(&mut out, detail.groups_max.into());
    put_varint(&mut out, detail.leaves_max.into());
    put_varint(&mut out, prefixes.len() as u64);
    let mut before: &[u8] = &[];
    for prefix in prefixes {
        put_prefix(&mut out, before, prefix);
        before = prefix;
    }
    out
}

/// The question of these bytes: prefixes, and the detail as wished (the answerer bounds it).
pub fn decode_question(bytes: &[u8]) -> Result<(Vec<Vec<u8>>, Detail), CodecError> {
    let mut input = open(bytes)?;
    let detail = Detail {
        groups_max: take_u16(&mut input)?,
        leaves_max: take_u16(&mut input)?,
    };
    let count = input.count("prefixes", QUESTION_PREFIXES_MAX)?;
    let mut prefixes: Vec<Vec<u8>> = Vec::new();
    for _ in 0..count {
        let prefix = take_prefix(&mut input, prefixes.last().map_or(&[], Vec::as_slice))?;
        if prefixes.last().is_some_and(|before| *before >= prefix) {
            return Err(CodecError::Order("prefixes"));
        }
        prefixes.push(prefix);
    }
    input.close()?;
    Ok((prefixes, detail))
}

/// The bytes of an answer to a question about `asked`.
pub fn encode_summary(asked: &[u8], summary: &Summary) -> Vec<u8> {
    let mut out = vec![FORMAT];
    put_varint(&mut out, summary.groups.len() as u64);
    let mut before = asked;
    for group in &summary.groups {
        put_prefix(&mut out, before, &group.prefix);
        put_varint(&mut out, group.count);
        out.extend_from_slice(&group.hash);
        before = &group.prefix;
    }
    put_varint(&mut out, summary.leaves.len() as u64);
    if !summary.leaves.is_empty() {
        put_leaves(&mut out, asked, &summary.leaves);
    }
    out
}

fn put_leaves(out: &mut Vec<u8>, asked: &[u8], leaves: &[(Key, ShortLeaf)]) {
    let mut origins: Vec<u64> = leaves
        .iter()
        .map(|(_, leaf)| leaf.stamp.origin.raw())
        .collect();
    origins.sort_unstable();
    origins.dedup();
    put_varint(out, origins.len() as u64);
    for origin in &origins {
        out.extend_from_slice(&origin.to_be_bytes());
    }
    let first = leaves.iter().map(|(_, leaf)| leaf.stamp.time.0).min();
    let first = first.unwrap_or_default();
    put_varint(out, first);
    let mut before = asked;
    for (key, leaf) in leaves {
        put_prefix(out, before, key.as_bytes());
        let origin = origins.partition_point(|origin| *origin < leaf.stamp.origin.raw());
        put_varint(out, 2 * origin as u64 + u64::from(leaf.hash.is_some()));
        put_varint(out, leaf.stamp.time.0 - first);
        out.extend(leaf.hash.iter().flatten());
        before = key.as_bytes();
    }
}

/// The answer of these bytes to a question about `asked`. Holds at most a few MiB, whatever the bytes say.
pub fn decode_summary(asked: &[u8], bytes: &[u8]) -> Result<Summary, CodecError> {
    let mut input = open(bytes)?;
    let mut summary = Summary::default();
    for _ in 0..input.count("groups", SUMMARY_ITEMS_MAX)? {
        let before = summary.groups.last().map(|group| &group.prefix[..]);
        let prefix = take_prefix(&mut input, before.unwrap_or(asked))?;
        if before.is_some_and(|before| *before >= prefix[..] || prefix.starts_with(before)) {
            return Err(CodecError::Order("groups"));
        }
        summary.groups.push(Group {
            prefix,
            count: input.varint()?,
            hash: input.array()?,
        });
    }
    let count = input.count("leaves", SUMMARY_ITEMS_MAX)?;
    if count > 0 {
        summary.leaves = take_leaves(&mut input, asked, count)?;
    }
    input.close()?;
    Ok(summary)
}

fn put_prefix(out: &mut Vec<u8>, before: &[u8], prefix: &[u8]) {
    let shared = super::prefix::shared_len(before, prefix);
    let suffix = prefix.get(shared..).unwrap_or_default();
    put_varint(out, shared as u64);
    put_varint(out, suffix.len() as u64);
    out.extend_from_slice(suffix);
}

/// Opens a message of the format that this engine speaks.
fn open(bytes: &[u8]) -> Result<Input<'_>, CodecError> {
    let mut input = Input::new(bytes);
    match input.byte()? {
        FORMAT => Ok(input),
        other => Err(CodecError::Format(other)),
    }
}

fn take_u16(input: &mut Input<'_>) -> Result<u16, CodecError> {
    Ok(u16::try_from(input.varint()?).map_err(|_| WireError::Number)?)
}

fn take_prefix(input: &mut Input<'_>, before: &[u8]) -> Result<Vec<u8>, CodecError> {
    let length = |number: u64| usize::try_from(number).map_err(|_| CodecError::Prefix);
    let shared = length(input.varint()?)?;
    let suffix = length(input.varint()?)?;
    let start = before.get(..shared).ok_or(CodecError::Prefix)?;
    if suffix > KEY_BYTES_MAX || shared + suffix > KEY_BYTES_MAX {
        return Err(CodecError::Prefix);
    }
    Ok([start, input.take(suffix)?].concat())
}

fn take_leaves(
    input: &mut Input<'_>,
    asked: &[u8],
    count: usize,
) -> Result<Vec<(Key, ShortLeaf)>, CodecError> {
    let mut origins = Vec::new();
    for _ in 0..input.count("origins", count)? {
        origins.push(u64::from_be_bytes(input.array()?));
    }
    let first = input.varint()?;
    let mut leaves: Vec<(Key, ShortLeaf)> = Vec::new();
    for _ in 0..count {
        let before = leaves.last().map(|(key, _)| key.as_bytes());
        let bytes = take_prefix(input, before.unwrap_or(asked))?;
        if before.is_some_and(|before| *before >= bytes[..]) {
            return Err(CodecError::Order("leaves"));
        }
        let kind = input.varint()?;
        let origin = usize::try_from(kind >> 1)
            .ok()
            .and_then(|at| origins.get(at));
        let time = first.checked_add(input.varint()?);
        let (Some(origin), Some(time)) = (origin, time) else {
            return Err(CodecError::Stamp);
        };
        let stamp = Stamp {
            time: HlcTime(time),
            origin: Origin::from_raw(*origin),
        };
        let hash = match kind & 1 {
            1 => Some(input.array()?),
            _ => None,
        };
        leaves.push((Key::parse(&bytes)?, ShortLeaf { stamp, hash }));
    }
    Ok(leaves)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn prefixes(max: usize) -> impl Strategy<Value = std::collections::BTreeSet<Vec<u8>>> {
        let bytes = prop::collection::vec(prop_oneof![Just(b'a'), Just(0xc3), any::<u8>()], 1..40);
        prop::collection::btree_set(bytes, 0..max)
    }

    fn short_leaf() -> impl Strategy<Value = ShortLeaf> {
        (any::<u64>(), 0..4u64, any::<Option<[u8; 8]>>()).prop_map(|(time, origin, hash)| {
            ShortLeaf {
                stamp: Stamp {
                    time: HlcTime(time),
                    origin: Origin::from_raw(origin.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
                },
                hash,
            }
        })
    }

    fn summary() -> impl Strategy<Value = Summary> {
        let leaves = prop::collection::btree_map("[a-cäß.]{1,12}", short_leaf(), 0..30);
        (prefixes(30), any::<(u64, [u8; 16])>(), leaves).prop_map(
            |(prefixes, (count, hash), leaves)| {
                let mut groups: Vec<Group> = Vec::new();
                for prefix in prefixes {
                    if groups
                        .last()
                        .is_none_or(|last| !prefix.starts_with(&last.prefix))
                    {
                        groups.push(Group {
                            prefix,
                            count,
                            hash,
                        });
                    }
                }
                let leaves = leaves.into_iter().map(|(key, leaf)| (Key::from(key), leaf));
                Summary {
                    groups,
                    leaves: leaves.collect(),
                }
            },
        )
    }

    proptest! {
        #[test]
        fn questions_come_back(prefixes in prefixes(50), groups_max: u16, leaves_max: u16) {
            let prefixes: Vec<_> = prefixes.into_iter().collect();
            let detail = Detail { groups_max, leaves_max };
            let bytes = encode_question(&prefixes, detail);
            prop_assert_eq!(decode_question(&bytes), Ok((prefixes, detail)));
            for cut in 0..bytes.len() {
                prop_assert!(decode_question(&bytes[..cut]).is_err());
            }
        }

        #[test]
        fn answers_come_back_and_cut_or_changed_ones_do_not_pass_for_others(asked in "[a-c]{0,3}", summary in summary(), at: prop::sample::Index, flip: u8) {
            let asked = asked.as_bytes();
            let bytes = encode_summary(asked, &summary);
            let back = decode_summary(asked, &bytes);
            prop_assert_eq!(back.as_ref(), Ok(&summary));
            prop_assert!(decode_summary(asked, &bytes[..at.index(bytes.len())]).is_err());
            let mut changed = bytes.clone();
            *changed.get_mut(at.index(bytes.len())).unwrap() ^= flip;
            if let Ok(other) = decode_summary(asked, &changed) {
                prop_assert_eq!(decode_summary(asked, &encode_summary(asked, &other)), Ok(other));
            }
        }

        #[test]
        fn noise_is_refused_or_read_never_worse(mut bytes in prop::collection::vec(any::<u8>(), 0..400), tame: bool) {
            if let (true, Some(first)) = (tame, bytes.first_mut()) {
                *first = FORMAT;
            }
            if let Ok((prefixes, _)) = decode_question(&bytes) {
                prop_assert!(prefixes.len() <= QUESTION_PREFIXES_MAX);
            }
            if let Ok(summary) = decode_summary(b"ab", &bytes) {
                prop_assert!(summary.groups.len() + summary.leaves.len() <= 2 * SUMMARY_ITEMS_MAX);
            }
        }
    }

    #[test]
    fn a_short_message_cannot_announce_a_long_list() {
        let mut bytes = vec![FORMAT];
        put_varint(&mut bytes, u64::MAX);
        assert!(matches!(
            decode_summary(b"", &bytes),
            Err(CodecError::Wire(WireError::TooMany { .. }))
        ));
        assert_eq!(
            decode_summary(b"", &[FORMAT, 2, 0]),
            Err(WireError::Truncated.into())
        );
        assert_eq!(decode_summary(b"", &[9]), Err(CodecError::Format(9)));
        // A prefix of 1025 bytes.
        let mut bytes = vec![FORMAT, 1, 0];
        put_varint(&mut bytes, 1025);
        bytes.extend([b'a'; 1100]);
        assert_eq!(decode_summary(b"", &bytes), Err(CodecError::Prefix));
    }
}
