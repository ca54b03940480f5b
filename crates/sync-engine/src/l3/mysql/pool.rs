//! The connections: a few, opened when needed, closed when anything about them is in doubt.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mysql_async::{Conn, OptsBuilder};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::failure::{Because, Failure, unavailable};
use super::session::{Limits, Session};
use super::url::Address;
use crate::env::{self, SharedEnv};
use crate::l3::ArchiveError;

/// Connections at the most; who comes later waits.
const CONNECTIONS_MAX: usize = 8;

/// A connection idle for this long is asked for a sign of life before it is used.
const TRUSTED_FOR: Duration = Duration::from_secs(1);

/// Statements kept prepared on each connection.
const STATEMENTS_MAX: usize = 64;

/// Hands out sessions.
pub(super) struct Pool {
    opts: OptsBuilder,
    /// Host, port and database, for messages.
    pub(super) database: String,
    env: SharedEnv,
    limits: Limits,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Idle>>,
    /// What the server takes in one packet, as it said last.
    packet_bytes: AtomicUsize,
    /// Held by the one commit that runs: commits of one process would only wait for each other's lock at the server,
    /// each with a connection.
    commits: tokio::sync::Mutex<()>,
}

struct Idle {
    conn: Conn,
    packet_bytes: usize,
    since: Duration,
}

impl Pool {
    pub(super) fn new(address: Address, env: SharedEnv, limits: Limits) -> Self {
        let Address { opts, shown } = address;
        Self {
            opts: opts
                // The way the URL says, also when the server is on this machine and listens on a socket.
                .prefer_socket(false)
                .tcp_keepalive(Some(Duration::from_secs(30)))
                .stmt_cache_size(STATEMENTS_MAX)
                .setup(setup(limits)),
            database: shown,
            env,
            limits,
            permits: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            idle: Mutex::default(),
            packet_bytes: AtomicUsize::new(0),
            commits: tokio::sync::Mutex::default(),
        }
    }

    /// A session that works, or the reason why there is none.
    pub(super) async fn session(&self, op: &'static str) -> Result<Session, ArchiveError> {
        let permit = self.permit(op).await?;
        let idle = self.idle.lock().pop();
        let failed = |failure: Failure| failure.during(op, &self.database);
        let permit = match idle {
            None => permit,
            Some(idle) => {
                let (conn, packet_bytes, env) = (idle.conn, idle.packet_bytes, self.env.clone());
                let mut session = Session::over(conn, packet_bytes, env, self.limits, permit);
                if self.env.monotonic().saturating_sub(idle.since) < TRUSTED_FOR {
                    return Ok(session);
                }
                match session.ping().await {
                    Ok(()) => return Ok(session),
                    Err(late @ Failure::Late(_)) => return Err(failed(late)),
                    // It ended while nobody looked, and most likely all others did too.
                    Err(_) => self.forget_idle(),
                }
                drop(session);
                self.permit(op).await?
            }
        };
        let (opts, env) = (self.opts.clone(), self.env.clone());
        let session = Session::connect(opts, env, self.limits, permit).await;
        let session = session.map_err(failed)?;
        self.follow_packet_bytes(session.packet_bytes());
        Ok(session)
    }

    /// What the server takes in one packet, as it said last.
    pub(super) fn packet_bytes(&self) -> usize {
        self.packet_bytes.load(Ordering::Relaxed)
    }

    /// The server said so: connections that were opened before it took another size are used no more.
    pub(super) fn follow_packet_bytes(&self, packet_bytes: usize) {
        let before = self.packet_bytes.swap(packet_bytes, Ordering::Relaxed);
        if before != packet_bytes && before != 0 {
            tracing::warn!(
                before,
                now = packet_bytes,
                "max_allowed_packet of the archive's server has changed"
            );
            self.forget_idle();
        }
    }

    async fn permit(&self, op: &'static str) -> Result<OwnedSemaphorePermit, ArchiveError> {
        let permit = self.permits.clone().acquire_owned();
        match env::timeout(&*self.env, self.limits.query, permit).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(ArchiveError::Closed),
            Err(late) => Err(unavailable(op, &self.database, late)),
        }
    }

    /// Waits for the turn to commit.
    pub(super) async fn turn(&self) -> Result<tokio::sync::MutexGuard<'_, ()>, ArchiveError> {
        env::timeout(&*self.env, self.limits.query, self.commits.lock())
            .await
            .map_err(|_| {
                let because = Because("the commits before this one take too long".into());
                unavailable("commit", &self.database, because)
            })
    }

    /// Takes the session back and says what came of it.
    pub(super) fn settle<T>(
        &self,
        op: &'static str,
        session: Session,
        done: Result<T, Failure>,
    ) -> Result<T, ArchiveError> {
        if done
            .as_ref()
            .is_err_and(|failure| !failure.leaves_connection())
        {
            self.forget_idle();
        }
        let packet_bytes = session.packet_bytes();
        let is_current = packet_bytes == self.packet_bytes();
        match session.into_idle() {
            // After `close` nothing is kept.
            Some(conn) if is_current && !self.permits.is_closed() => self.idle.lock().push(Idle {
                conn,
                packet_bytes,
                since: self.env.monotonic(),
            }),
            _ => {}
        }
        done.map_err(|failure| failure.during(op, &self.database))
    }

    /// What broke one connection most likely broke the others.
    fn forget_idle(&self) {
        let forgotten = std::mem::take(&mut *self.idle.lock());
        drop(forgotten);
    }

    /// Closes the idle connections, and those in use once they are given back.
    pub(super) async fn close(&self) {
        self.permits.close();
        let idle = std::mem::take(&mut *self.idle.lock());
        for Idle {
            conn, packet_bytes, ..
        } in idle
        {
            // A permit of its own, since the pool gives none any more.
            if let Ok(permit) = Arc::new(Semaphore::new(1)).acquire_owned().await {
                Session::over(conn, packet_bytes, self.env.clone(), self.limits, permit)
                    .part()
                    .await;
            }
        }
    }
}

/// What every connection is told first.
fn setup(limits: Limits) -> Vec<String> {
    vec![
        // Every column and every value is bytes: nothing is to be converted on the way.
        "SET NAMES binary".into(),
        // What does not fit is an error and never cut.
        "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', autocommit = 1".into(),
        // Commits are in line behind one locked row, so that gap locks would only add deadlocks.
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED".into(),
        format!(
            "SET SESSION innodb_lock_wait_timeout = {}",
            limits.lock_secs
        ),
    ]
}
