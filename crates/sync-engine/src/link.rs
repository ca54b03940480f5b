//! One connection to a Redis: made when it is first needed, made anew after it failed.

/// The names of the Redis keys that are not items.
pub mod keys;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo, Pipeline, RedisError, Value,
};
use tokio::sync::Mutex;

use crate::config::{BackendUrl, ConfigError, SyncEngineConfig};

/// Requests that may wait to be written; a caller past it waits, within its time-out.
const PIPELINE_BUFFER: usize = 1024;
/// Bytes that are collected before they are written.
const WRITE_BUFFER: usize = 256 << 10;

/// The answers of a server that is full, a replica, unable to save, or without enough replicas: it refuses writes alone.
const READ_ONLY: [&str; 4] = ["OOM", "READONLY", "MISCONF", "NOREPLICAS"];

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

/// Redis did not do what it was asked, or did not say so. Never shows a password.
#[derive(Debug, thiserror::Error)]
#[error("{server}: {source}")]
pub struct LinkError {
    /// Host and port.
    server: String,
    /// Whether nothing was sent, so that certainly nothing was done.
    is_unsent: bool,
    source: RedisError,
}

impl LinkError {
    /// Whether certainly nothing was done.
    pub fn is_unsent(&self) -> bool {
        self.is_unsent
    }

    /// Whether the server answered that it takes no writes now, while it can be read.
    pub fn is_read_only(&self) -> bool {
        let code = self.source.code();
        code.is_some_and(|code| READ_ONLY.contains(&code))
    }
}

/// A connection to one Redis, shared by any number of callers; requests are pipelined.
///
/// It holds no connection until the first request. A connection that failed, or did not answer in time, is dropped, and
/// the next request makes another one; callers that wait for it share the attempt and its failure.
pub struct RedisLink {
    client: Client,
    server: String,
    config: AsyncConnectionConfig,
    slot: Mutex<Slot>,
    /// Counts attempts to connect, so that those who waited for a failed one do not try again one after the other.
    attempts: AtomicU64,
    /// The run of the server that answered last, by its own word.
    life: parking_lot::Mutex<Option<Arc<str>>>,
}

#[derive(Default)]
struct Slot {
    connection: Option<MultiplexedConnection>,
    /// Which attempt made it.
    number: u64,
    failure: Option<RedisError>,
}

impl RedisLink {
    /// A link to this server. Fails only when the URL cannot be one of a Redis; does not connect.
    pub fn new(url: &BackendUrl, timeouts: RedisTimeouts) -> Result<Self, ConfigError> {
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
        let server = server_name(info.addr());
        let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(timeouts.connect))
            .set_response_timeout(Some(timeouts.response))
            .set_pipeline_buffer_size(PIPELINE_BUFFER)
            .set_write_backpressure_boundary(WRITE_BUFFER);
        Ok(Self {
            client: Client::open(info).map_err(invalid)?,
            server,
            config,
            slot: Mutex::default(),
            attempts: AtomicU64::new(0),
            life: parking_lot::Mutex::default(),
        })
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
                    .send_packed_commands(pipeline, 0, pipeline.len())
                    .await
            }
            // One answer that counts: that of EXEC, after those of MULTI and of each command.
            true => {
                connection
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
                Err(self.error(source, false))
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

    async fn connection(&self) -> Result<(MultiplexedConnection, u64), LinkError> {
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
    async fn connect(&self) -> Result<MultiplexedConnection, RedisError> {
        let config = &self.config;
        let mut connection = self
            .client
            .get_multiplexed_async_connection_with_config(config)
            .await?;
        let mut ask = redis::cmd("INFO");
        ask.arg("server");
        match ask.query_async::<String>(&mut connection).await {
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
        LinkError {
            server: self.server.clone(),
            is_unsent,
            source,
        }
    }
}

fn run_id(info: &str) -> Option<Arc<str>> {
    let id = info.lines().find_map(|line| line.strip_prefix("run_id:"))?;
    Some(id.trim().into())
}

fn server_name(addr: &ConnectionAddr) -> String {
    format!("redis at {addr}")
}

#[cfg(test)]
mod tests;
