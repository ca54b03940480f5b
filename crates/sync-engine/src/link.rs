//! One connection to a Redis: made when it is first needed, made anew after it failed.

/// The names of the Redis keys that are not items.
pub mod keys;

mod connection;

mod error;

mod meter;

mod metered;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use redis::{AsyncConnectionConfig, IntoConnectionInfo, Pipeline, RedisError, Value};
use tokio::sync::Mutex;

use self::connection::{Connection, Dial};
pub use self::error::LinkError;
pub use self::meter::{ReplyTooLarge, VALUE_BYTES};
use crate::config::{BackendUrl, ConfigError, SyncEngineConfig};
use crate::env::SharedEnv;

/// Requests that may wait to be written; a caller past it waits, within its time-out.
const PIPELINE_BUFFER: usize = 1024;
/// Bytes that are collected before they are written.
const WRITE_BUFFER: usize = 256 << 10;

/// How long a Redis may take.
#[derive(Clone, Copy, Debug)]
pub struct RedisTimeouts {
    /// To connect, sign in included.
    pub connect: Duration,
    /// To answer what was asked at once.
    pub response: Duration,
}

impl From<&SyncEngineConfig> for RedisTimeouts {
    fn from(config: &SyncEngineConfig) -> Self {
        Self {
            connect: Duration::from_millis(config.redis_timeout_ms),
            response: Duration::from_millis(config.redis_response_timeout_ms),
        }
    }
}

/// A connection to one Redis, shared by any number of callers; requests are pipelined.
///
/// It holds no connection until the first request. A connection that failed, or did not answer in time, is dropped, and
/// the next request makes another one; callers that wait for it share the attempt and its failure.
///
/// A reply that is too large is not read: the connection is dropped, and whoever waited for an answer on it gets an error.
/// So a server can have us hold no more than one such reply for each of the commands that wait for theirs.
pub struct RedisLink {
    dial: Dial,
    server: String,
    slot: Mutex<Slot>,
    /// Counts attempts to connect, so that those who waited for a failed one do not try again one after the other.
    attempts: AtomicU64,
    /// The run of the server that answered last, by its own word.
    life: parking_lot::Mutex<Option<Arc<str>>>,
}

#[derive(Default)]
struct Slot {
    connection: Option<Connection>,
    /// Which attempt made it.
    number: u64,
    failure: Option<RedisError>,
}

impl RedisLink {
    /// A link to this server, that takes replies of at most `reply_bytes_max` bytes, [`VALUE_BYTES`] for each value in
    /// them included. Fails only when the URL cannot be one of a Redis; does not connect.
    pub fn new(
        url: &BackendUrl,
        timeouts: RedisTimeouts,
        reply_bytes_max: usize,
        env: SharedEnv,
    ) -> Result<Self, ConfigError> {
        let invalid = |error: RedisError| ConfigError {
            field: "redis_url",
            found: url.to_string(),
            // A fixed text, unless the error has a detail: that could quote the URL.
            expected: match error.detail() {
                None => format!("the URL of a Redis ({error})"),
                Some(_) => format!("the URL of a Redis ({})", error.category()),
            },
        };
        let info = url.expose().into_connection_info().map_err(invalid)?;
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(Some(timeouts.response))
            .set_pipeline_buffer_size(PIPELINE_BUFFER)
            .set_write_backpressure_boundary(WRITE_BUFFER);
        Ok(Self {
            server: format!("redis at {}", info.addr()),
            dial: Dial {
                info,
                config,
                patience: timeouts.connect,
                limit: Arc::new(AtomicUsize::new(reply_bytes_max)),
                env,
            },
            slot: Mutex::default(),
            attempts: AtomicU64::new(0),
            life: parking_lot::Mutex::default(),
        })
    }

    /// Takes larger replies from now on, or only smaller ones; holds for the open connection, too.
    pub fn set_reply_bytes_max(&self, bytes: usize) {
        self.dial.limit.store(bytes, Ordering::Relaxed);
    }

    /// Sends the commands in one go, and gives one value for each; an error reply is a value, too
    /// ([`Value::ServerError`]).
    pub async fn send(&self, pipeline: &Pipeline) -> Result<Vec<Value>, LinkError> {
        if pipeline.is_empty() {
            return Ok(Vec::new());
        }
        let (mut connection, number) = self.connection().await?;
        let answer = match pipeline.is_transaction() {
            false => {
                connection
                    .redis
                    .send_packed_commands(pipeline, 0, pipeline.len())
                    .await
            }
            // One answer that counts: that of EXEC, after those of MULTI and of each command.
            true => {
                connection
                    .redis
                    .send_packed_commands(pipeline, pipeline.len() + 1, 1)
                    .await
            }
        };
        match answer {
            Ok(values) => Ok(values),
            Err(source) => {
                if source.is_io_error() || source.is_unrecoverable_error() {
                    self.drop_connection(number).await;
                }
                Err(match connection.overrun() {
                    Some(too_large) => LinkError::overrun(&self.server, too_large),
                    None => self.error(source, false),
                })
            }
        }
    }

    /// As [`RedisLink::send`], where any error reply is an error.
    pub async fn send_all(&self, pipeline: &Pipeline) -> Result<Vec<Value>, LinkError> {
        let values = self.send(pipeline).await?;
        values
            .into_iter()
            .map(|value| value.extract_error())
            .collect::<Result<_, _>>()
            .map_err(|source| self.error(source, false))
    }

    /// An error reply as an error.
    pub fn refusal(&self, reply: redis::ServerError) -> LinkError {
        self.error(reply.into(), false)
    }

    async fn connection(&self) -> Result<(Connection, u64), LinkError> {
        let seen = self.attempts.load(Ordering::Acquire);
        let mut slot = self.slot.lock().await;
        if let Some(connection) = &slot.connection {
            return Ok((connection.clone(), slot.number));
        }
        match &slot.failure {
            Some(failure) if self.attempts.load(Ordering::Acquire) != seen => {
                return Err(self.error(failure.clone(), true));
            }
            _ => {}
        }
        let made = self.connect().await;
        slot.number = self.attempts.fetch_add(1, Ordering::AcqRel) + 1;
        match made {
            Ok(connection) => {
                slot.failure = None;
                slot.connection = Some(connection.clone());
                Ok((connection, slot.number))
            }
            Err(source) => {
                slot.failure = Some(source.clone());
                Err(self.error(source, true))
            }
        }
    }

    /// A connection, made after the server has said which run of it this is.
    async fn connect(&self) -> Result<Connection, RedisError> {
        let mut connection = self.dial.connection().await?;
        let mut ask = redis::cmd("INFO");
        ask.arg("server");
        match ask.query_async::<String>(&mut connection.redis).await {
            Ok(info) => *self.life.lock() = run_id(&info),
            Err(error) if error.is_io_error() || error.is_unrecoverable_error() => {
                return Err(error);
            }
            // Not allowed to ask: restarts go unnoticed.
            Err(error) => tracing::warn!(%error, "the Redis does not say which run it is in"),
        }
        Ok(connection)
    }

    /// Which run of the server answered last: another one may have lost writes that an earlier one confirmed. `None`: not
    /// known.
    pub fn life(&self) -> Option<Arc<str>> {
        self.life.lock().clone()
    }

    /// Drops the connection unless another one took its place.
    async fn drop_connection(&self, number: u64) {
        let mut slot = self.slot.lock().await;
        if slot.number == number {
            slot.connection = None;
        }
    }

    fn error(&self, source: RedisError, is_unsent: bool) -> LinkError {
        LinkError::new(&self.server, source, is_unsent)
    }
}

fn run_id(info: &str) -> Option<Arc<str>> {
    let id = info.lines().find_map(|line| line.strip_prefix("run_id:"))?;
    Some(id.trim().into())
}

#[cfg(test)]
mod tests;
