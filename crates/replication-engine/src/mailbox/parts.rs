//! The fields of questions and of the parts of answers. Pure.

use std::collections::BTreeMap;

use bytes::Bytes;
use sync_engine::cdc::stream_id::StreamId;

use super::Question;
use crate::config::is_node_id;
use crate::limits::{ANSWER_PART_BYTES, PARTS_KEPT, QUESTION_BYTES_MAX};

/// The question in an entry; `None`: it is none.
pub fn question(at: StreamId, fields: &[(Bytes, Bytes)]) -> Option<Question> {
    let from = std::str::from_utf8(find(fields, b"from")?).ok()?;
    let bytes = find(fields, b"q")?;
    let fits = is_node_id(from) && bytes.len() <= QUESTION_BYTES_MAX;
    fits.then_some(Question {
        at,
        id: number(find(fields, b"id")?)?,
        from: from.to_owned(),
        bytes: bytes.clone(),
    })
}

/// The fields of an entry that asks `question`.
pub fn question_fields(id: u64, from: &str, question: Bytes) -> Vec<(Bytes, Bytes)> {
    vec![
        ("id".into(), id.to_string().into()),
        ("from".into(), from.to_owned().into()),
        ("q".into(), question),
    ]
}

/// Cuts an answer into parts.
pub fn cut(answer: Bytes) -> Vec<Bytes> {
    let mut rest = answer;
    let mut parts = Vec::new();
    while rest.len() > ANSWER_PART_BYTES {
        parts.push(rest.split_to(ANSWER_PART_BYTES));
    }
    parts.push(rest);
    parts
}

/// The fields of the entry that carries part `part` (from 0) of `n`.
pub fn part_fields(id: u64, by: u64, part: usize, n: usize, data: Bytes) -> Vec<(Bytes, Bytes)> {
    let number = |name: &'static str, value: u64| (name.into(), value.to_string().into());
    vec![
        number("id", id),
        number("by", by),
        number("part", part as u64),
        number("n", n as u64),
        ("data".into(), data),
    ]
}

/// Puts the parts of one answer together.
pub struct Assembly {
    id: u64,
    bytes_max: usize,
    /// By answerer: its parts. Two engines behind one stream may both answer.
    answers: BTreeMap<u64, Parts>,
}

#[derive(Default)]
struct Parts {
    n: u64,
    bytes: usize,
    parts: BTreeMap<u64, Bytes>,
}

/// Answerers of one question that are told apart.
const ANSWERERS_MAX: usize = 8;

impl Assembly {
    /// For the answer to question `id`, of at most `bytes_max` bytes.
    pub fn new(id: u64, bytes_max: usize) -> Self {
        Self {
            id,
            bytes_max,
            answers: BTreeMap::new(),
        }
    }

    /// Takes an entry in; the whole answer when it was the last missing part. Entries of other answers are passed over.
    ///
    /// # Errors
    /// What is wrong with a part of this answer.
    pub fn add(&mut self, fields: &[(Bytes, Bytes)]) -> Result<Option<Bytes>, &'static str> {
        if find(fields, b"id").and_then(|id| number(id)) != Some(self.id) {
            return Ok(None);
        }
        let get = |name| find(fields, name).and_then(|value| number(value));
        let (Some(by), Some(part), Some(n)) = (get(b"by"), get(b"part"), get(b"n")) else {
            return Err("a part of the answer has no number");
        };
        let data = find(fields, b"data").ok_or("a part of the answer has no data")?;
        if part >= n || n > PARTS_KEPT as u64 || data.len() > ANSWER_PART_BYTES {
            return Err("a part of the answer is out of bounds");
        }
        if !self.answers.contains_key(&by) && self.answers.len() >= ANSWERERS_MAX {
            return Err("too many nodes answer one question");
        }
        let answer = self.answers.entry(by).or_default();
        if answer.n != 0 && answer.n != n {
            return Err("the parts of the answer disagree on how many there are");
        }
        answer.n = n;
        if answer.parts.insert(part, data.clone()).is_none() {
            answer.bytes += data.len();
        }
        if answer.bytes > self.bytes_max {
            return Err("the answer is too large");
        }
        Ok(answer.whole())
    }
}

impl Parts {
    fn whole(&self) -> Option<Bytes> {
        if self.parts.len() as u64 != self.n {
            return None;
        }
        match self.parts.first_key_value() {
            Some((_, only)) if self.n == 1 => Some(only.clone()),
            _ => {
                let mut whole = Vec::with_capacity(self.bytes);
                self.parts
                    .values()
                    .for_each(|part| whole.extend_from_slice(part));
                Some(whole.into())
            }
        }
    }
}

fn find<'f>(fields: &'f [(Bytes, Bytes)], name: &[u8]) -> Option<&'f Bytes> {
    let named = fields.iter().find(|(field, _)| field == name);
    named.map(|(_, value)| value)
}

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn an_answer_comes_together_in_any_order_among_others(len in prop_oneof![9 => 0..2_000usize, 1 => 2_000_000..3_500_000usize], seed: u64, swap: bool) {
            let answer = Bytes::from(vec![seed as u8; len]);
            let parts = cut(answer.clone());
            prop_assert!(parts.iter().all(|part| part.len() <= ANSWER_PART_BYTES));
            let n = parts.len();
            let mut entries: Vec<_> = parts.into_iter().enumerate().map(|(part, data)| part_fields(seed, 1, part, n, data)).collect();
            // Another engine's answer to the same question, cut off.
            entries.insert(0, part_fields(seed, 2, 0, n + 1, "other".into()));
            entries.insert(1, part_fields(seed ^ 1, 1, 0, 1, "stale".into()));
            if swap { entries.reverse(); }
            let mut assembly = Assembly::new(seed, len.max("other".len()));
            let whole: Vec<_> = entries.iter().filter_map(|fields| assembly.add(fields).unwrap()).collect();
            prop_assert_eq!(whole, [answer]);
        }

        #[test]
        fn i12_any_entry_is_an_error_not_a_panic(fields: Vec<(Vec<u8>, Vec<u8>)>, numbers: (u64, u64, u64)) {
            let fields: Vec<(Bytes, Bytes)> = fields.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
            prop_assert_eq!(question(StreamId::MIN, &fields), None);
            let mut assembly = Assembly::new(7, 10);
            let number = |name: &'static str, value: u64| (Bytes::from(name), Bytes::from(value.to_string()));
            let (by, part, n) = numbers;
            let fields = [number("id", 7), number("by", by), number("part", part), number("n", n), ("data".into(), Bytes::from_static(b"more than ten"))];
            prop_assert!(assembly.add(&fields).is_err());
        }
    }

    #[test]
    fn questions_come_back_and_odd_ones_are_none() {
        let at = StreamId { ms: 1, seq: 2 };
        let asked = question(at, &question_fields(9, "uk.node", "what".into())).unwrap();
        assert_eq!(
            (asked.id, &*asked.from, &asked.bytes[..]),
            (9, "uk.node", &b"what"[..])
        );
        assert_eq!(
            question(at, &question_fields(9, "two words", "what".into())),
            None
        );
        let long = Bytes::from(vec![0; QUESTION_BYTES_MAX + 1]);
        assert_eq!(question(at, &question_fields(9, "n", long)), None);
    }
}
