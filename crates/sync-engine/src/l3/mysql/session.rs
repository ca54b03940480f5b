//! One connection, and the few ways to talk through it. Nothing waits longer than its time limit.

use std::time::Duration;

use futures_util::future::BoxFuture;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder, Params, Row, Value};
use tokio::sync::OwnedSemaphorePermit;

use super::failure::Failure;
use crate::env::{self, SharedEnv};

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
        Ok(Self::over(conn, env, limits, permit))
    }

    /// A session over a connection that was idle.
    pub(super) fn over(
        conn: Conn,
        env: SharedEnv,
        limits: Limits,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            conn,
            env,
            limits,
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

fn params(values: Vec<Value>) -> Params {
    match values.is_empty() {
        true => Params::Empty,
        false => Params::Positional(values),
    }
}
