//! Answers the questions of peers. Whatever is asked, an answer is bounded.

use bytes::Bytes;
use futures_util::future::try_join_all;
use sync_engine::Key;
use sync_engine::StorageError;
use sync_engine::item::Stored;
use sync_engine::l3::KeyRange;
use sync_engine::merkle::Detail;
use sync_engine::merkle::codec::encode_summary;

use super::question::{Answer, Question, Refusal, decode_question, encode_answer, encode_record};
use crate::apply::SyncEngineRef;
use crate::limits::{
    ANSWER_BYTES_AIM, ANSWER_HELD_MAX, ANSWER_ROWS_MAX, ANSWER_TIME_AIM, BRANCHES_AT_ONCE,
};

/// Keys whose records are read at once.
const KEYS_AT_ONCE: usize = 128;

/// An answer, and whether the question was one.
pub struct Answered {
    /// What to send.
    pub bytes: Bytes,
    /// Why nothing was found out, if so.
    pub refused: Option<Refusal>,
}

/// Answers a question from the store.
pub async fn answer(store: &dyn SyncEngineRef, question: &[u8]) -> Answered {
    let answer = match decode_question(question) {
        Err(_) => Answer::Refusal(Refusal::NotUnderstood),
        Ok(question) => match find_out(store, question).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::warn!(%error, "a peer's question could not be answered");
                Answer::Refusal(Refusal::Unavailable)
            }
        },
    };
    Answered {
        refused: match &answer {
            Answer::Refusal(refusal) => Some(*refusal),
            _ => None,
        },
        bytes: encode_answer(&answer),
    }
}

/// The answer of a node with too much to do.
pub fn busy() -> Bytes {
    encode_answer(&Answer::Refusal(Refusal::Busy))
}

async fn find_out(store: &dyn SyncEngineRef, question: Question) -> Result<Answer, StorageError> {
    match question {
        Question::Root => Ok(Answer::Root(store.merkle_root().await?)),
        Question::Summaries { prefixes, detail } => summaries(store, &prefixes, detail).await,
        Question::Records { keys } => records(store, &keys).await,
        Question::Range {
            after,
            end,
            bytes_max,
        } => {
            let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
            range(store, after, end, bytes_max.min(ANSWER_BYTES_AIM)).await
        }
        Question::Cells {
            from,
            count,
            samples,
        } => cells(store, from, count, &samples).await,
    }
}

async fn summaries(
    store: &dyn SyncEngineRef,
    prefixes: &[Vec<u8>],
    detail: Detail,
) -> Result<Answer, StorageError> {
    let env = store.env();
    let (mut list, mut bytes, begun) = (Vec::new(), 0, env.monotonic());
    for branches in prefixes.chunks(BRANCHES_AT_ONCE) {
        let summaries = branches
            .iter()
            .map(|prefix| store.merkle_summary(prefix, detail.bounded()));
        let summaries = try_join_all(summaries).await?;
        for (prefix, summary) in branches.iter().zip(summaries) {
            let encoded = encode_summary(prefix, &summary);
            bytes += encoded.len();
            list.push(encoded.into());
        }
        if bytes >= ANSWER_BYTES_AIM || env.monotonic() - begun >= ANSWER_TIME_AIM {
            break;
        }
    }
    Ok(Answer::Summaries(list))
}

async fn records(store: &dyn SyncEngineRef, keys: &[Key]) -> Result<Answer, StorageError> {
    let (mut done, mut bytes, mut records) = (0, 0, Vec::new());
    let at_once_max = keys_at_once(store.payload_bytes_max());
    // Few at first: nobody knows how large they are.
    let mut at_once = 8.min(at_once_max);
    while let Some(rest) = keys.get(done..).filter(|rest| !rest.is_empty()) {
        let chunk = rest.get(..at_once).unwrap_or(rest);
        for record in store.records_of(chunk).await? {
            done += 1;
            let Some(record) = record.filter(Stored::is_archived) else {
                continue;
            };
            bytes += record.size_bytes();
            records.push(encode_record(&record));
            if bytes >= ANSWER_BYTES_AIM {
                return Ok(Answer::Records { done, records });
            }
        }
        at_once = (at_once * 2).min(at_once_max);
    }
    Ok(Answer::Records { done, records })
}

/// Keys whose records may be read at once: after many small ones, all the next may be of the largest kind.
fn keys_at_once(payload_bytes_max: usize) -> usize {
    (ANSWER_HELD_MAX / payload_bytes_max.max(1)).clamp(1, KEYS_AT_ONCE)
}

async fn cells(
    store: &dyn SyncEngineRef,
    from: usize,
    count: usize,
    samples: &[u32],
) -> Result<Answer, StorageError> {
    let Some(sketch) = store.merkle_sketch().await? else {
        return Ok(Answer::Cells {
            aggregate: store.merkle_root().await?,
            cells: Vec::new(),
        });
    };
    let count = match count {
        0 => sketch.cells_for(samples).unwrap_or(0),
        count => count,
    };
    Ok(Answer::Cells {
        aggregate: *sketch.aggregate(),
        cells: sketch.from(from, count).to_vec(),
    })
}

async fn range(
    store: &dyn SyncEngineRef,
    after: Option<Vec<u8>>,
    end: Option<Vec<u8>>,
    bytes_max: usize,
) -> Result<Answer, StorageError> {
    let mut range = KeyRange::all();
    if let Some(after) = &after {
        range = range.after(after);
    }
    range.end = end;
    let found = store
        .scan_records(&range, ANSWER_ROWS_MAX, bytes_max)
        .await?;
    Ok(Answer::Range {
        done: found.is_empty(),
        records: found.iter().map(encode_record).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i8_what_is_held_for_an_answer_is_bounded() {
        assert_eq!(keys_at_once(0), KEYS_AT_ONCE);
        assert_eq!(keys_at_once(64 << 10), KEYS_AT_ONCE);
        assert_eq!(keys_at_once(16 << 20), 8);
        assert_eq!(keys_at_once(1 << 30), 1);
    }
}
