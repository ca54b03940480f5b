//! One connection, and the few ways to talk through it. Nothing waits longer than its time limit.

use std::time::Duration;

use futures_util::future::BoxFuture;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder, Params, Row, Value};
use tokio::sync::OwnedSemaphorePermit;

use super::failure::{Failure, damaged};
use crate::env::{self, SharedEnv};
use crate::limits::ENVELOPE_OVERHEAD_MAX;

const OF_CONNECTION: &str = "SELECT CAST(@@max_allowed_packet AS UNSIGNED)";
const OF_SERVER: &str = "SELECT CAST(@@GLOBAL.max_allowed_packet AS UNSIGNED)";

/// How long calls may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Connecting, and a sign of life.
    pub(super) connect: Duration,
    /// One statement.
    pub(super) query: Duration,
    /// A row's lock held by someone else, in whole seconds: less than `query`, so that the server gives up first.
    pub(super) lock_secs: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            query: Duration::from_secs(30),
            lock_secs: 10,
        }
    }
}

/// A connection on loan. Dropped, it is closed, and the server undoes what was not committed.
pub(super) struct Session {
    conn: Conn,
    env: SharedEnv,
    limits: Limits,
    /// What the server takes on this connection in one packet; fixed when it was opened.
    packet_bytes: usize,
    /// Whether nothing is under way, so that somebody else may use it.
    idle: bool,
    _permit: OwnedSemaphorePermit,
}

impl Session {
    pub(super) async fn connect(
        opts: OptsBuilder,
        env: SharedEnv,
        limits: Limits,
        permit: OwnedSemaphorePermit,
    ) -> Result<Self, Failure> {
        let conn = env::timeout(&*env, limits.connect, Conn::new(opts)).await??;
        let mut session = Self::over(conn, 0, env, limits, permit);
        session.packet_bytes = session.ask_packet_bytes(OF_CONNECTION).await?;
        Ok(session)
    }

    /// A session over a connection that was idle.
    pub(super) fn over(
        conn: Conn,
        packet_bytes: usize,
        env: SharedEnv,
        limits: Limits,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            conn,
            env,
            limits,
            packet_bytes,
            idle: true,
            _permit: permit,
        }
    }

    /// The connection, unless something is left under way on it.
    pub(super) fn into_idle(self) -> Option<Conn> {
        self.idle.then_some(self.conn)
    }

    /// Runs `work` on the connection; while it runs, and after it failed for good, the connection is not idle.
    async fn bounded<'a, T>(
        &'a mut self,
        limit: Duration,
        work: impl FnOnce(&'a mut Conn) -> BoxFuture<'a, mysql_async::Result<T>>,
    ) -> Result<T, Failure> {
        let Self {
            conn, env, idle, ..
        } = self;
        let before = std::mem::replace(idle, false);
        let done: Result<T, Failure> = match env::timeout(&**env, limit, work(conn)).await {
            Ok(done) => done.map_err(Failure::from),
            Err(late) => Err(late.into()),
        };
        *idle = before && done.as_ref().err().is_none_or(Failure::leaves_connection);
        done
    }

    /// The rows of a prepared statement, its values in place of the question marks.
    pub(super) async fn rows(
        &mut self,
        sql: &str,
        values: Vec<Value>,
    ) -> Result<Vec<Vec<Value>>, Failure> {
        let limit = self.limits.query;
        let rows: Vec<Row> = self
            .bounded(limit, |conn| conn.exec(sql.to_owned(), params(values)))
            .await?;
        Ok(rows.into_iter().map(Row::unwrap).collect())
    }

    /// Runs a prepared statement.
    pub(super) async fn run(&mut self, sql: &str, values: Vec<Value>) -> Result<(), Failure> {
        let limit = self.limits.query;
        self.bounded(limit, |conn| conn.exec_drop(sql.to_owned(), params(values)))
            .await
    }

    /// Runs a statement as it stands.
    pub(super) async fn tell(&mut self, sql: &'static str) -> Result<(), Failure> {
        let limit = self.limits.query;
        self.bounded(limit, |conn| conn.query_drop(sql)).await
    }

    /// What the server takes on this connection in one packet.
    pub(super) fn packet_bytes(&self) -> usize {
        self.packet_bytes
    }

    /// Bytes that a row may take in a packet on this connection.
    pub(super) fn row_bytes_max(&self) -> usize {
        row_bytes_max(self.packet_bytes)
    }

    /// One round trip, which tells what the server takes in one packet on connections opened from now on.
    pub(super) async fn packet_bytes_now(&mut self) -> Result<usize, Failure> {
        match self.ask_packet_bytes(OF_SERVER).await {
            // It answers all the same: a server in front of others may not tell.
            Err(Failure::Driver(mysql_async::Error::Server(_))) => Ok(self.packet_bytes),
            answer => answer,
        }
    }

    async fn ask_packet_bytes(&mut self, sql: &'static str) -> Result<usize, Failure> {
        let limit = self.limits.connect;
        let answer = self.bounded(limit, |conn| conn.query_first(sql)).await?;
        let bytes: u64 = answer.ok_or_else(|| damaged("the server's answer", "is empty"))?;
        Ok(usize::try_from(bytes).unwrap_or(usize::MAX))
    }

    /// One round trip.
    pub(super) async fn ping(&mut self) -> Result<(), Failure> {
        let limit = self.limits.connect;
        self.bounded(limit, |conn| conn.ping()).await
    }

    /// Begins a transaction; until it ends the connection is not idle.
    pub(super) async fn begin(&mut self, sql: &'static str) -> Result<(), Failure> {
        self.tell(sql).await?;
        self.idle = false;
        Ok(())
    }

    /// Ends the transaction well or not at all.
    pub(super) async fn commit(&mut self) -> Result<(), Failure> {
        self.tell("COMMIT").await?;
        self.idle = true;
        Ok(())
    }

    /// Undoes the transaction. Where that fails the connection is dropped, and the server undoes it.
    pub(super) async fn roll_back(&mut self, why: &Failure) {
        if why.leaves_connection() && self.tell("ROLLBACK").await.is_ok() {
            self.idle = true;
        }
    }

    /// Closes the connection in good manners.
    pub(super) async fn part(self) {
        let Self {
            conn, env, limits, ..
        } = self;
        match env::timeout(&*env, limits.connect, conn.disconnect()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!(%error, "a connection to the archive ended before it was closed")
            }
            Err(late) => tracing::debug!(%late, "a connection to the archive did not close"),
        }
    }
}

/// Bytes that a row may take in a packet of so many bytes.
pub(super) fn row_bytes_max(packet_bytes: usize) -> usize {
    packet_bytes.saturating_sub(ENVELOPE_OVERHEAD_MAX)
}

fn params(values: Vec<Value>) -> Params {
    match values.is_empty() {
        true => Params::Empty,
        false => Params::Positional(values),
    }
}
