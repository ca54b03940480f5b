//! Clients of the nodes: the Redis protocol for the bulk, HTTP where stamps are wanted.
//!
//! Every write is told to the oracle before it is sent, and every acknowledgement when it comes.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Pipeline, Value};

use super::error::DemoError;
use super::http;
use super::oracle::{Oracle, Stamp, Ticket};
use super::place::Addresses;

/// How long a node may take to answer.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// Keys asked for at once.
const READ_KEYS: usize = 500;

/// The oracle, told by all clients.
pub type SharedOracle = Arc<Mutex<Oracle>>;

/// A write: the key, and its value or, for a delete, none.
pub type Write = (String, Option<Bytes>);

/// What became of one write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Acknowledged.
    Done,
    /// A delete of something that is not there: nothing was written.
    Absent,
    /// The node said no, for this reason.
    Refused(String),
}

/// A connection to one node.
#[derive(Clone)]
pub struct Client {
    node: usize,
    addresses: Addresses,
    oracle: SharedOracle,
    connection: MultiplexedConnection,
}

impl Client {
    /// Connects to the node.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn connect(
        node: usize,
        addresses: Addresses,
        oracle: SharedOracle,
    ) -> Result<Self, DemoError> {
        let connection = connect(addresses.resp).await;
        let connection = connection.map_err(|error| failed(node, "connect", &error))?;
        Ok(Self {
            node,
            addresses,
            oracle,
            connection,
        })
    }

    /// Writes all of it in one go, in this order; says for each what became of it.
    ///
    /// # Errors
    /// The connection died: nobody knows which of them happened.
    pub async fn write(&mut self, writes: &[Write]) -> Result<Vec<Outcome>, DemoError> {
        let mut pipeline = Pipeline::with_capacity(writes.len());
        for (key, value) in writes {
            match value {
                Some(value) => pipeline.cmd("SET").arg(key).arg(&value[..]),
                None => pipeline.cmd("DEL").arg(key),
            };
        }
        let tickets: Vec<Ticket> = {
            let mut oracle = self.oracle.lock();
            writes
                .iter()
                .map(|(key, value)| oracle.begin(key, value.clone(), self.node))
                .collect()
        };
        let answers = self
            .connection
            .send_packed_commands(&pipeline, 0, writes.len())
            .await;
        let answers = answers.map_err(|error| failed(self.node, "write", &error))?;
        let mut oracle = self.oracle.lock();
        let outcomes = tickets.iter().zip(answers).map(|(ticket, answer)| {
            let outcome = judged(answer);
            match outcome {
                Outcome::Done => oracle.acknowledge(*ticket, None),
                Outcome::Absent => oracle.withdraw(*ticket),
                // It may have happened all the same.
                Outcome::Refused(_) => {}
            }
            outcome
        });
        Ok(outcomes.collect())
    }

    /// Writes all of it; a refusal is an error.
    ///
    /// # Errors
    /// The connection died, or the node refused something.
    pub async fn write_all(&mut self, writes: &[Write]) -> Result<(), DemoError> {
        let outcomes = self.write(writes).await?;
        let refused = outcomes
            .into_iter()
            .zip(writes)
            .find(|(outcome, _)| *outcome != Outcome::Done);
        match refused {
            None => Ok(()),
            Some((outcome, (key, _))) => Err(DemoError::Node {
                node: self.node,
                op: "write",
                why: format!("{key}: {outcome:?}"),
            }),
        }
    }

    /// Writes one item by HTTP, and so learns its stamp.
    ///
    /// # Errors
    /// The node does not answer, or not as it should.
    pub async fn put_stamped(&self, key: &str, value: Bytes) -> Result<Stamp, DemoError> {
        let ticket = self
            .oracle
            .lock()
            .begin(key, Some(value.clone()), self.node);
        let answer = self.ask("PUT", &http::item_path(key), &value).await?;
        let stamp = answer.header("x-redsqrl-stamp").and_then(Stamp::parse);
        match (answer.status, stamp) {
            (200..=299, Some(stamp)) => {
                self.oracle.lock().acknowledge(ticket, Some(stamp));
                Ok(stamp)
            }
            _ => Err(self.unexpected("PUT", &answer)),
        }
    }

    /// The stamp of the item under the key; `None`: there is none.
    ///
    /// # Errors
    /// The node does not answer, or not as it should.
    pub async fn stamp_of(&self, key: &str) -> Result<Option<Stamp>, DemoError> {
        let answer = self.ask("GET", &http::item_path(key), b"").await?;
        let stamp = answer.header("x-redsqrl-stamp").and_then(Stamp::parse);
        match (answer.status, stamp) {
            (404, _) => Ok(None),
            (200, Some(stamp)) => Ok(Some(stamp)),
            _ => Err(self.unexpected("GET", &answer)),
        }
    }

    /// The root of the tree.
    ///
    /// # Errors
    /// The node does not answer, or not as it should.
    pub async fn root(&self) -> Result<String, DemoError> {
        let answer = self.ask("GET", "/v1/merkle", b"").await?;
        let root = answer
            .json()
            .get("root")
            .and_then(|root| root.as_str().map(str::to_string));
        root.ok_or_else(|| self.unexpected("GET /v1/merkle", &answer))
    }

    async fn ask(
        &self,
        method: &'static str,
        path: &str,
        body: &[u8],
    ) -> Result<http::Answer, DemoError> {
        let answer = http::ask(self.addresses.http, method, path, body, ANSWER_LIMIT).await;
        answer.map_err(|error| DemoError::Node {
            node: self.node,
            op: method,
            why: error.to_string(),
        })
    }

    fn unexpected(&self, op: &'static str, answer: &http::Answer) -> DemoError {
        let body: String = String::from_utf8_lossy(&answer.body)
            .chars()
            .take(200)
            .collect();
        DemoError::Node {
            node: self.node,
            op,
            why: format!("answered {} {body}", answer.status),
        }
    }

    /// The values of these keys, in the same order.
    ///
    /// # Errors
    /// The node does not answer, or not as it should.
    pub async fn read(&mut self, keys: &[String]) -> Result<Vec<Option<Bytes>>, DemoError> {
        let mut values = Vec::with_capacity(keys.len());
        for part in keys.chunks(READ_KEYS) {
            let mut command = redis::cmd("MGET");
            part.iter().for_each(|key| {
                command.arg(key);
            });
            let answer: Vec<Option<Vec<u8>>> = command
                .query_async(&mut self.connection)
                .await
                .map_err(|error| failed(self.node, "MGET", &error))?;
            values.extend(answer.into_iter().map(|value| value.map(Bytes::from)));
        }
        Ok(values)
    }

    /// Every key the node shows.
    ///
    /// # Errors
    /// The node does not answer, or not as it should.
    pub async fn keys(&mut self) -> Result<Vec<String>, DemoError> {
        let mut cursor = String::from("0");
        let mut keys = Vec::new();
        loop {
            let mut command = redis::cmd("SCAN");
            command.arg(&cursor).arg("COUNT").arg(1000);
            let (next, page): (String, Vec<String>) = command
                .query_async(&mut self.connection)
                .await
                .map_err(|error| failed(self.node, "SCAN", &error))?;
            keys.extend(page);
            if next == "0" {
                return Ok(keys);
            }
            cursor = next;
        }
    }

    /// Everything the node holds: what it lists, and besides what it answers for `also`.
    ///
    /// # Errors
    /// The node does not answer, or not as it should.
    pub async fn holdings(&mut self, also: &[String]) -> Result<Holdings, DemoError> {
        let listed: HashSet<String> = self.keys().await?.into_iter().collect();
        let unlisted = also.iter().filter(|key| !listed.contains(*key));
        let keys: Vec<String> = listed.iter().chain(unlisted).cloned().collect();
        let values = self.read(&keys).await?;
        let items: HashMap<String, Bytes> = keys
            .into_iter()
            .zip(values)
            .filter_map(|(key, value)| Some((key, value?)))
            .collect();
        let unlisted = items.keys().filter(|key| !listed.contains(*key)).count();
        Ok(Holdings { items, unlisted })
    }
}

/// What a node holds.
#[derive(Debug, Default)]
pub struct Holdings {
    /// Each key and its value.
    pub items: HashMap<String, Bytes>,
    /// How many of them are readable, but not listed.
    pub unlisted: usize,
}

async fn connect(at: SocketAddr) -> redis::RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(Duration::from_secs(5)))
        .set_response_timeout(Some(ANSWER_LIMIT));
    redis::Client::open(format!("redis://{at}"))?
        .get_multiplexed_async_connection_with_config(&config)
        .await
}

fn failed(node: usize, op: &'static str, error: &redis::RedisError) -> DemoError {
    DemoError::Node {
        node,
        op,
        why: error.to_string(),
    }
}

fn judged(answer: Value) -> Outcome {
    match answer {
        Value::Okay => Outcome::Done,
        Value::Int(1) => Outcome::Done,
        Value::Int(0) => Outcome::Absent,
        Value::SimpleString(text) if text == "OK" => Outcome::Done,
        Value::ServerError(error) => Outcome::Refused(format!("{error:?}")),
        other => Outcome::Refused(format!("{other:?}")),
    }
}
