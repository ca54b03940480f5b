//! Typed questions to one peer.

use bytes::Bytes;
use sync_engine::Key;
use sync_engine::merkle::Detail;
use sync_engine::merkle::node::Aggregate;
use sync_engine::merkle::sketch::Cell;

use super::question::{Answer, CodecError, Question, Refusal, decode_answer, encode_question};
use crate::engine::stop::Stop;
use crate::error::RepairError;
use crate::limits::ANSWER_BYTES_AIM;
use crate::peer::Remote;

/// Asks one peer; gives up when the engine stops.
pub struct Asker<'a> {
    /// Whom.
    pub remote: &'a dyn Remote,
    /// Largest answer that is read.
    pub answer_bytes_max: usize,
    /// When to give up.
    pub stop: &'a Stop,
}

impl Asker<'_> {
    /// The root that the peer has published: the cheapest question.
    pub async fn published_root(&self) -> Result<Option<String>, RepairError> {
        let asked = self.stop.unless(self.remote.root()).await;
        Ok(asked.ok_or(RepairError::Stopped)??)
    }

    /// The peer's count and sum.
    pub async fn root(&self) -> Result<Aggregate, RepairError> {
        match self.ask(Question::Root).await? {
            Answer::Root(aggregate) => Ok(aggregate),
            _ => Err(CodecError::Unknown.into()),
        }
    }

    /// Cells of the peer's sketch, from this one on, and the count and sum of what they are a sketch of; no cells when it has
    /// none to give. With a `count` of 0 it decides how many, by our samples.
    pub async fn cells(
        &self,
        from: usize,
        count: usize,
        samples: Vec<u32>,
    ) -> Result<(Aggregate, Vec<Cell>), RepairError> {
        let question = Question::Cells {
            from,
            count,
            samples,
        };
        match self.ask(question).await {
            Ok(Answer::Cells { aggregate, cells }) => Ok((aggregate, cells)),
            Ok(_) => Err(CodecError::Unknown.into()),
            // It has not learned of sketches yet.
            Err(RepairError::Refused(Refusal::NotUnderstood)) => {
                Ok((self.root().await?, Vec::new()))
            }
            Err(error) => Err(error),
        }
    }

    /// Encoded summaries of the first of these prefixes; at least one.
    pub async fn summaries(
        &self,
        prefixes: &[Vec<u8>],
        detail: Detail,
    ) -> Result<Vec<Bytes>, RepairError> {
        let prefixes = prefixes.to_vec();
        let asked = prefixes.len();
        match self.ask(Question::Summaries { prefixes, detail }).await? {
            Answer::Summaries(list) if list.is_empty() || list.len() > asked => {
                Err(RepairError::NoProgress)
            }
            Answer::Summaries(list) => Ok(list),
            _ => Err(CodecError::Unknown.into()),
        }
    }

    /// Encoded records of the first of these keys, and how many keys were dealt with; at least one.
    pub async fn records(&self, keys: &[Key]) -> Result<(usize, Vec<Bytes>), RepairError> {
        let question = Question::Records {
            keys: keys.to_vec(),
        };
        match self.ask(question).await? {
            Answer::Records { done, .. } if done == 0 || done > keys.len() => {
                Err(RepairError::NoProgress)
            }
            Answer::Records { done, records } => Ok((done, records)),
            _ => Err(CodecError::Unknown.into()),
        }
    }

    /// Encoded records after this key, in key order, and whether nothing follows them.
    pub async fn range(&self, after: Option<Vec<u8>>) -> Result<(bool, Vec<Bytes>), RepairError> {
        let question = Question::Range {
            after,
            end: None,
            bytes_max: ANSWER_BYTES_AIM as u64,
        };
        match self.ask(question).await? {
            Answer::Range { done, records } => Ok((done, records)),
            _ => Err(CodecError::Unknown.into()),
        }
    }

    async fn ask(&self, question: Question) -> Result<Answer, RepairError> {
        let asked = self.remote.ask(encode_question(&question));
        let bytes = self
            .stop
            .unless(asked)
            .await
            .ok_or(RepairError::Stopped)??;
        match decode_answer(bytes, self.answer_bytes_max)? {
            Answer::Refusal(refusal) => Err(RepairError::Refused(refusal)),
            answer => Ok(answer),
        }
    }
}
