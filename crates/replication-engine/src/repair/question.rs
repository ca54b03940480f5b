//! Questions and answers of the cold path: the only place that knows their bytes. Described in `docs/formats.md`.
//!
//! ```text
//! question  = 1 kind body | 2 zstd(kind body)           answer = 0 body | 1 zstd(body)      body = 1  kind  …
//! kind 1 root        question: –                         answer: aggregate[40]
//! kind 2 summaries   question: a Merkle question         answer: n  n × bytes (a Merkle summary each, in the order asked)
//! kind 3 records     question: n  n × bytes (keys)       answer: done  n  n × bytes (envelopes)
//! kind 4 range       question: after  end  bytes_max     answer: done  n  n × bytes (envelopes)
//! kind 5 cells       question: from  count  n  n × sample[4]   answer: aggregate[40]  cells
//! kind 0 refusal     –                                   answer: reason
//! bytes = length  bytes[length]     after, end = 0 | 1 bytes
//! ```
//! Numbers are varints. `done` is, for records, how many of the keys asked were dealt with (the rest is to be asked
//! again), and for a range 1 when nothing follows. The answerer says that in an empty page behind the last record, since
//! only a page that found nothing knows.

use bytes::Bytes;
use sync_engine::cdc::compress;
use sync_engine::merkle::Detail;
use sync_engine::merkle::cells::{put_cells, take_cells};
use sync_engine::merkle::codec as merkle;
use sync_engine::merkle::node::Aggregate;
use sync_engine::merkle::sketch::{Cell, SKETCH_CELLS, SKETCH_SAMPLES};
use sync_engine::merkle::wire::{Input, WireError, put_bytes, put_varint};
use sync_engine::{InvalidKey, Key};

pub use record::{RecordError, decode_record, encode_record, place_behind};

use crate::limits::{ANSWER_KEYS_MAX, ANSWER_ROWS_MAX, ASK_PREFIXES_MAX, QUESTION_BYTES_MAX};

mod record;

const FORMAT: u8 = 1;
/// Of questions alone: the rest is compressed.
const FORMAT_ZSTD: u8 = 2;

const REFUSAL: u8 = 0;
const ROOT: u8 = 1;
const SUMMARIES: u8 = 2;
const RECORDS: u8 = 3;
const RANGE: u8 = 4;
const CELLS: u8 = 5;

const RAW: u8 = 0;
const ZSTD: u8 = 1;

/// What one node asks another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Count and sum of everything.
    Root,
    /// What there is under these prefixes, which ascend.
    Summaries {
        /// At most [`ASK_PREFIXES_MAX`].
        prefixes: Vec<Vec<u8>>,
        /// How finely.
        detail: Detail,
    },
    /// The records of these keys.
    Records {
        /// At most [`ANSWER_KEYS_MAX`].
        keys: Vec<Key>,
    },
    /// Records in key order, tombstones included.
    Range {
        /// Only keys greater than this one.
        after: Option<Vec<u8>>,
        /// Only keys smaller than this one.
        end: Option<Vec<u8>>,
        /// About how many bytes.
        bytes_max: u64,
    },
    /// Cells of the sketch of everything.
    Cells {
        /// The first of them.
        from: usize,
        /// At most so many; 0: as many as the samples say are needed.
        count: usize,
        /// [`sync_engine::merkle::Sketch::samples`] of the asker's.
        samples: Vec<u32>,
    },
}

/// What it is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// To [`Question::Root`].
    Root(Aggregate),
    /// To [`Question::Summaries`]: encoded summaries, in the order asked; possibly fewer than were asked for.
    Summaries(Vec<Bytes>),
    /// To [`Question::Records`]: those of the first `done` keys, as far as there are any.
    Records {
        /// How many of the keys were dealt with: at least 1. The others are to be asked for again.
        done: usize,
        /// Encoded records.
        records: Vec<Bytes>,
    },
    /// To [`Question::Range`].
    Range {
        /// Whether nothing follows. A page with records may be the last one all the same: then the next is empty and done.
        done: bool,
        /// Encoded records.
        records: Vec<Bytes>,
    },
    /// To [`Question::Cells`].
    Cells {
        /// Count and sum of the set that they are a sketch of.
        aggregate: Aggregate,
        /// None: there is no sketch now, or too much differs for it.
        cells: Vec<Cell>,
    },
    /// To anything.
    Refusal(Refusal),
}

/// Why a node does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It does not understand the question.
    #[error("it does not understand the question")]
    NotUnderstood,
    /// Its store cannot be read now.
    #[error("its store cannot be read now")]
    Unavailable,
    /// It has too much to do.
    #[error("it is busy")]
    Busy,
}

/// Bytes that are no question, or no answer. Nothing of them is used.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// They end early, go on too long, or hold a number or length that is none.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// Another format than this engine speaks, or another kind than was asked for.
    #[error("unknown format or kind")]
    Unknown,
    /// A part holds what no writer puts there.
    #[error("its {0} is malformed")]
    Malformed(&'static str),
    /// A key cannot be a key.
    #[error("a key: {0}")]
    Key(#[from] InvalidKey),
    /// The prefixes or a summary.
    #[error("{0}")]
    Merkle(#[from] merkle::CodecError),
    /// It does not decompress, or to too much.
    #[error("{0}")]
    Compressed(#[from] compress::DecompressError),
}

/// The bytes of a question, compressed when that is worth it.
pub fn encode_question(question: &Question) -> Bytes {
    let body = question_body(question);
    match compress::compress_if_worth(&body) {
        Some(frame) => [&[FORMAT_ZSTD][..], &frame].concat().into(),
        None => [&[FORMAT][..], &body].concat().into(),
    }
}

fn question_body(question: &Question) -> Vec<u8> {
    let mut out = Vec::new();
    match question {
        Question::Root => out.push(ROOT),
        Question::Summaries { prefixes, detail } => {
            out.push(SUMMARIES);
            out.extend(merkle::encode_question(prefixes, *detail));
        }
        Question::Records { keys } => {
            out.push(RECORDS);
            put_varint(&mut out, keys.len() as u64);
            keys.iter()
                .for_each(|key| put_bytes(&mut out, key.as_bytes()));
        }
        Question::Range {
            after,
            end,
            bytes_max,
        } => {
            out.push(RANGE);
            for bound in [after, end] {
                out.push(u8::from(bound.is_some()));
                bound.iter().for_each(|bound| put_bytes(&mut out, bound));
            }
            put_varint(&mut out, *bytes_max);
        }
        Question::Cells {
            from,
            count,
            samples,
        } => {
            out.push(CELLS);
            for number in [*from, *count, samples.len()] {
                put_varint(&mut out, number as u64);
            }
            out.extend(samples.iter().flat_map(|sample| sample.to_be_bytes()));
        }
    }
    out
}

/// The question of these bytes.
pub fn decode_question(bytes: &[u8]) -> Result<Question, CodecError> {
    if bytes.len() > QUESTION_BYTES_MAX {
        let (count, limit) = (bytes.len() as u64, QUESTION_BYTES_MAX);
        let what = "bytes";
        return Err(WireError::TooMany { what, count, limit }.into());
    }
    let mut input = Input::new(bytes);
    let format = input.byte()?;
    let body = input.rest();
    match format {
        FORMAT => question_of(body),
        FORMAT_ZSTD => question_of(&compress::decompress(body, QUESTION_BYTES_MAX)?),
        _ => Err(CodecError::Unknown),
    }
}

fn question_of(body: &[u8]) -> Result<Question, CodecError> {
    let mut input = Input::new(body);
    let question = match input.byte()? {
        ROOT => Question::Root,
        SUMMARIES => {
            let (prefixes, detail) = merkle::decode_question(input.rest())?;
            let (count, limit) = (prefixes.len() as u64, ASK_PREFIXES_MAX);
            if prefixes.len() > limit {
                let what = "prefixes";
                return Err(WireError::TooMany { what, count, limit }.into());
            }
            Question::Summaries { prefixes, detail }
        }
        RECORDS => {
            let count = input.count("keys", ANSWER_KEYS_MAX)?;
            let key = |_| Ok(Key::parse(input.bytes()?)?);
            let keys = (0..count).map(key).collect::<Result<_, CodecError>>()?;
            Question::Records { keys }
        }
        RANGE => {
            let mut bound = || match input.byte()? {
                0 => Ok(None),
                1 => Ok(Some(input.bytes()?.to_vec())),
                _ => Err(CodecError::Malformed("bound")),
            };
            Question::Range {
                after: bound()?,
                end: bound()?,
                bytes_max: input.varint()?,
            }
        }
        CELLS => {
            let from = input.count("cells", SKETCH_CELLS)?;
            let count = input.count("cells", SKETCH_CELLS)?;
            let samples = input.count("samples", SKETCH_SAMPLES)?;
            let sample = |_| Ok(u32::from_be_bytes(input.array()?));
            let samples = (0..samples)
                .map(sample)
                .collect::<Result<_, CodecError>>()?;
            Question::Cells {
                from,
                count,
                samples,
            }
        }
        _ => return Err(CodecError::Unknown),
    };
    input.close()?;
    Ok(question)
}

/// The bytes of an answer, compressed when that is worth it.
pub fn encode_answer(answer: &Answer) -> Bytes {
    let body = answer_body(answer);
    let (first, rest) = match compress::compress_if_worth(&body) {
        Some(frame) => (ZSTD, frame),
        None => (RAW, body),
    };
    let mut out = Vec::with_capacity(rest.len() + 1);
    out.push(first);
    out.extend_from_slice(&rest);
    out.into()
}

fn answer_body(answer: &Answer) -> Vec<u8> {
    let mut out = vec![FORMAT];
    match answer {
        Answer::Refusal(reason) => {
            let reason = match reason {
                Refusal::NotUnderstood => 1,
                Refusal::Unavailable => 2,
                Refusal::Busy => 3,
            };
            out.extend([REFUSAL, reason]);
        }
        Answer::Root(aggregate) => {
            out.push(ROOT);
            out.extend(aggregate.to_bytes());
        }
        Answer::Summaries(list) => {
            out.push(SUMMARIES);
            put_list(&mut out, list);
        }
        Answer::Records { done, records } => {
            out.push(RECORDS);
            put_varint(&mut out, *done as u64);
            put_list(&mut out, records);
        }
        Answer::Range { done, records } => {
            out.push(RANGE);
            put_varint(&mut out, u64::from(*done));
            put_list(&mut out, records);
        }
        Answer::Cells { aggregate, cells } => {
            out.push(CELLS);
            out.extend(aggregate.to_bytes());
            put_cells(&mut out, cells);
        }
    }
    out
}

fn put_list(out: &mut Vec<u8>, list: &[Bytes]) {
    out.reserve(list.iter().map(|one| one.len() + 10).sum());
    put_varint(out, list.len() as u64);
    list.iter().for_each(|one| put_bytes(out, one));
}

/// The answer of these bytes; it takes at most `bytes_max` bytes of memory beside them. Its parts are slices.
pub fn decode_answer(bytes: Bytes, bytes_max: usize) -> Result<Answer, CodecError> {
    let body = match bytes.first() {
        Some(&RAW) => bytes.slice(1..),
        Some(&ZSTD) => compress::decompress(bytes.get(1..).unwrap_or_default(), bytes_max)?.into(),
        Some(_) => return Err(CodecError::Unknown),
        None => return Err(WireError::Truncated.into()),
    };
    let mut input = Input::new(&body);
    if input.byte()? != FORMAT {
        return Err(CodecError::Unknown);
    }
    let answer = match input.byte()? {
        REFUSAL => Answer::Refusal(match input.byte()? {
            1 => Refusal::NotUnderstood,
            2 => Refusal::Unavailable,
            3 => Refusal::Busy,
            _ => return Err(CodecError::Malformed("reason")),
        }),
        ROOT => Answer::Root(Aggregate::from_bytes(&input.array()?)),
        SUMMARIES => Answer::Summaries(list(&mut input, &body, "summaries", ASK_PREFIXES_MAX)?),
        RECORDS => Answer::Records {
            done: input.count("keys", ANSWER_KEYS_MAX)?,
            records: list(&mut input, &body, "records", ANSWER_KEYS_MAX)?,
        },
        RANGE => Answer::Range {
            done: input.count("ends", 1)? == 1,
            records: list(&mut input, &body, "records", ANSWER_ROWS_MAX)?,
        },
        CELLS => Answer::Cells {
            aggregate: Aggregate::from_bytes(&input.array()?),
            cells: take_cells(&mut input)?,
        },
        _ => return Err(CodecError::Unknown),
    };
    input.close()?;
    Ok(answer)
}

fn list(
    input: &mut Input<'_>,
    body: &Bytes,
    what: &'static str,
    limit: usize,
) -> Result<Vec<Bytes>, CodecError> {
    let count = input.count(what, limit)?;
    (0..count)
        .map(|_| Ok(body.slice_ref(input.bytes()?)))
        .collect()
}

#[cfg(test)]
mod tests;
