//! A running node, reached over its Redis-protocol port.

use std::time::{Duration, Instant};

use bytes::Bytes;
use redis::{Client, Connection, RedisError, RedisResult};
use sync_engine::BackendUrl;

use super::Failure;

/// Where a node is unless told otherwise.
pub(super) const URL_DEFAULT: &str = "redis://127.0.0.1:7379";

/// How long connecting may take, and how long an answer.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
const ANSWER_PATIENCE: Duration = Duration::from_secs(120);

/// How long a node may be too busy for what it is sent.
const BUSY_PATIENCE: Duration = Duration::from_secs(120);

/// A connection. Errors name the node, and no password.
pub(super) struct Remote {
    url: BackendUrl,
    connection: Connection,
}

impl Remote {
    pub(super) fn connect(url: &str) -> Result<Self, Failure> {
        let url = BackendUrl::from(url);
        let connected = Client::open(url.expose())
            .and_then(|client| client.get_connection_with_timeout(CONNECT_PATIENCE));
        let connection = connected.map_err(|error| {
            format!("cannot reach a node at {url}: {error}; is `redsqrl serve` running there?")
        })?;
        connection.set_read_timeout(Some(ANSWER_PATIENCE))?;
        connection.set_write_timeout(Some(ANSWER_PATIENCE))?;
        Ok(Self { url, connection })
    }

    fn failed(&self, error: &RedisError) -> Failure {
        format!("{}: {error}", self.url).into()
    }

    /// Stores the items; waits and tries again while the node is too busy.
    pub(super) fn set_all(&mut self, items: &[(String, Bytes)]) -> Result<(), Failure> {
        let begun = Instant::now();
        let mut rest: Vec<&(String, Bytes)> = items.iter().collect();
        let mut pause = Duration::from_millis(50);
        loop {
            let mut pipe = redis::Pipeline::with_capacity(rest.len());
            for (id, content) in &rest {
                pipe.cmd("SET").arg(id).arg(&content[..]);
            }
            let answers: RedisResult<Vec<RedisResult<()>>> =
                pipe.ignore_errors().query(&mut self.connection);
            let answers = answers.map_err(|error| self.failed(&error))?;
            let mut busy = Vec::new();
            let mut last = None;
            for (item, answer) in rest.iter().zip(answers) {
                match answer {
                    Ok(()) => {}
                    Err(error) if is_passing(&error) => {
                        busy.push(*item);
                        last = Some(error);
                    }
                    Err(error) => return Err(format!("{}: {}: {error}", self.url, item.0).into()),
                }
            }
            match last {
                None => return Ok(()),
                Some(error) if begun.elapsed() > BUSY_PATIENCE => return Err(self.failed(&error)),
                Some(_) => std::thread::sleep(pause),
            }
            pause = (pause * 2).min(Duration::from_secs(2));
            rest = busy;
        }
    }

    /// The number of items, tombstones not among them.
    pub(super) fn len(&mut self) -> Result<u64, Failure> {
        let answer = redis::cmd("DBSIZE").query(&mut self.connection);
        answer.map_err(|error| self.failed(&error))
    }

    /// Some ids that match a pattern, and the cursor for the next ones; 0: there are no more.
    pub(super) fn scan(
        &mut self,
        cursor: &str,
        pattern: &str,
    ) -> Result<(String, Vec<String>), Failure> {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor)
            .arg("MATCH")
            .arg(pattern)
            .arg("COUNT")
            .arg(1000);
        scan.query(&mut self.connection)
            .map_err(|error| self.failed(&error))
    }

    /// The lengths of these items in bytes; 0 for one that is gone.
    pub(super) fn lengths(&mut self, ids: &[String]) -> Result<Vec<usize>, Failure> {
        let mut pipe = redis::Pipeline::with_capacity(ids.len());
        for id in ids {
            pipe.cmd("STRLEN").arg(id);
        }
        pipe.query(&mut self.connection)
            .map_err(|error| self.failed(&error))
    }

    /// The contents of these items; `None` for one that is gone.
    pub(super) fn get_all(&mut self, ids: &[String]) -> Result<Vec<Option<Vec<u8>>>, Failure> {
        let answer = redis::cmd("MGET").arg(ids).query(&mut self.connection);
        answer.map_err(|error| self.failed(&error))
    }
}

/// Whether waiting helps.
fn is_passing(error: &RedisError) -> bool {
    matches!(
        error.code(),
        Some("BUSY" | "OOM" | "TRYAGAIN" | "LOADING" | "UNAVAILABLE")
    )
}
