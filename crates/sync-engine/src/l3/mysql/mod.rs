//! The archive in a MySQL or MariaDB database.

mod cells;
mod chunk;
mod commit;
mod failure;
mod pool;
mod read;
mod rebuild;
mod row;
mod schema;
mod session;
mod url;
mod value;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::RwLock;

pub use url::InvalidMysqlUrl;

use self::failure::{Because, Failure, unavailable};
use self::pool::Pool;
use self::session::{Limits, Session};
use self::url::Address;
use super::{ArchiveError, ArchiveStore, KeyRange, MetaKey, Opened, Planner, RowAction};
use crate::config::BackendUrl;
use crate::env::SharedEnv;
use crate::item::key::Key;
use crate::item::stamp::{HlcTime, Stamp};
use crate::item::{Leaf, Stored};
use crate::limits::ENVELOPE_OVERHEAD_MAX;
use crate::merkle::node::NodeRow;

/// The archive in one database of a MySQL or MariaDB server, which other engines may use at the same time.
///
/// - Commits of all engines are in line behind one locked row, so each planner sees the tree number that the one before it wrote.
/// - Connecting takes at most 5 s and a statement 30 s: a server that does not answer is an error, not a wait.
/// - The URL's password is in no message.
/// - How safe a commit is against a power failure is the server's setting (`innodb_flush_log_at_trx_commit`, 1 by default).
pub struct MysqlArchive {
    address: Address,
    limits: Limits,
    env: SharedEnv,
    state: RwLock<State>,
    /// Held while opening or closing.
    turn: tokio::sync::Mutex<()>,
}

/// A server with smaller packets is of no use: keys and rows would not fit.
const PACKET_BYTES_MIN: usize = 256 << 10;

enum State {
    New,
    Open(Arc<Database>),
    Closed,
}

struct Database {
    pool: Pool,
}

impl MysqlArchive {
    /// The archive of a URL, `mysql://USER:PASSWORD@HOST:PORT/DATABASE` or `mariadb://…`. `open` creates the tables, not the database.
    pub fn from_url(url: &BackendUrl, env: SharedEnv) -> Result<Self, InvalidMysqlUrl> {
        Ok(Self {
            address: url::address(url)?,
            limits: Limits::default(),
            env,
            state: RwLock::new(State::New),
            turn: tokio::sync::Mutex::new(()),
        })
    }

    fn database(&self, op: &'static str) -> Result<Arc<Database>, ArchiveError> {
        match &*self.state.read() {
            State::Open(database) => Ok(database.clone()),
            State::Closed => Err(ArchiveError::Closed),
            State::New => Err(self.refuse(op, "the archive was not opened".into())),
        }
    }

    fn refuse(&self, op: &'static str, why: String) -> ArchiveError {
        unavailable(op, &self.address.shown, Because(why))
    }

    async fn start(&self) -> Result<(Database, Opened), ArchiveError> {
        let pool = Pool::new(self.address.clone(), self.env.clone(), self.limits);
        let mut session = pool.session("open").await?;
        let found = survey(&mut session).await;
        let opened = pool.settle("open", session, found)?;
        let packet = pool.packet_bytes();
        if packet < PACKET_BYTES_MIN {
            return Err(self.refuse("open", format!(
                "the server takes packets of {packet} bytes, and {PACKET_BYTES_MIN} are needed: raise max_allowed_packet on the server"
            )));
        }
        Ok((Database { pool }, opened))
    }
}

/// Prepares the tables; gives what is stored.
async fn survey(session: &mut Session) -> Result<Opened, Failure> {
    schema::prepare(session).await?;
    Ok(Opened {
        clock_bound: HlcTime(value::number(session, schema::CLOCK_BOUND).await?),
        collected: HlcTime(value::number(session, schema::COLLECTED).await?),
        // A copy of a server looks like the server.
        fingerprint: None,
    })
}

/// Runs an operation on a session of the pool.
macro_rules! with_session {
    ($self:ident, $op:literal, |$session:ident| $work:expr) => {{
        let database = $self.database($op)?;
        let mut lent = database.pool.session($op).await?;
        let $session = &mut lent;
        let done = $work.await;
        database.pool.settle($op, lent, done)
    }};
}

#[async_trait]
impl ArchiveStore for MysqlArchive {
    async fn open(&self) -> Result<Opened, ArchiveError> {
        let _turn = self.turn.lock().await;
        match *self.state.read() {
            State::New => {}
            State::Closed => return Err(ArchiveError::Closed),
            State::Open(_) => return Err(self.refuse("open", "the archive is open already".into())),
        }
        let (database, opened) = self.start().await?;
        *self.state.write() = State::Open(Arc::new(database));
        Ok(opened)
    }

    async fn commit(
        &self,
        records: Vec<Stored>,
        plan: Planner,
    ) -> Result<Vec<RowAction>, ArchiveError> {
        let database = self.database("commit")?;
        let _turn = database.pool.turn().await?;
        let mut session = database.pool.session("commit").await?;
        let done = commit::commit(&mut session, &records, plan).await;
        database.pool.settle("commit", session, done)
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Stored>>, ArchiveError> {
        with_session!(self, "get_many", |session| read::get_many(session, keys))
    }

    async fn leaves_of(&self, keys: &[Key]) -> Result<Vec<Option<Leaf>>, ArchiveError> {
        let keys: Vec<&Key> = keys.iter().collect();
        with_session!(self, "leaves_of", |session| read::leaves_of(session, &keys))
    }

    async fn scan(
        &self,
        range: &KeyRange,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Vec<Stored>, ArchiveError> {
        with_session!(self, "scan", |session| read::scan(
            session, range, limit, bytes_max
        ))
    }

    async fn scan_leaves(
        &self,
        range: &KeyRange,
        limit: usize,
    ) -> Result<Vec<(Key, Leaf)>, ArchiveError> {
        with_session!(self, "scan_leaves", |session| read::scan_leaves(
            session, range, limit
        ))
    }

    async fn count_live(&self, range: &KeyRange, now_ms: i64) -> Result<u64, ArchiveError> {
        with_session!(self, "count_live", |session| read::count_live(
            session, range, now_ms
        ))
    }

    async fn expired(&self, now_ms: i64, limit: usize) -> Result<Vec<(Key, Leaf)>, ArchiveError> {
        with_session!(self, "expired", |session| read::expired(
            session, now_ms, limit
        ))
    }

    async fn tombstones(
        &self,
        until: HlcTime,
        after: Option<&(Key, Stamp)>,
        limit: usize,
    ) -> Result<Vec<(Key, Stamp)>, ArchiveError> {
        with_session!(self, "tombstones", |session| read::tombstones(
            session, until, after, limit
        ))
    }

    async fn load_tree(&self) -> Result<(Vec<NodeRow>, u64), ArchiveError> {
        with_session!(self, "load_tree", |session| read::load_tree(session))
    }

    async fn rebuild_tree(&self) -> Result<(), ArchiveError> {
        let database = self.database("rebuild_tree")?;
        let _turn = database.pool.turn().await?;
        let mut session = database.pool.session("rebuild_tree").await?;
        let done = rebuild::rebuild_tree(&mut session).await;
        database.pool.settle("rebuild_tree", session, done)
    }

    async fn tree_seq(&self) -> Result<u64, ArchiveError> {
        with_session!(self, "tree_seq", |session| value::number(
            session,
            schema::TREE_SEQ
        ))
    }

    async fn meta(&self, key: MetaKey) -> Result<Option<Vec<u8>>, ArchiveError> {
        with_session!(self, "meta", |session| value::get(session, key.name()))
    }

    async fn set_meta(&self, key: MetaKey, value: Vec<u8>) -> Result<(), ArchiveError> {
        with_session!(self, "set_meta", |session| value::set(
            session,
            key.name(),
            value
        ))
    }

    async fn raise_clock_bound(&self, bound: HlcTime) -> Result<(), ArchiveError> {
        with_session!(self, "raise_clock_bound", |session| {
            value::raise_number(session, schema::CLOCK_BOUND, bound.0)
        })
    }

    async fn ping(&self) -> Result<(), ArchiveError> {
        let packet = with_session!(self, "ping", |session| session.packet_bytes_now())?;
        self.database("ping")?.pool.follow_packet_bytes(packet);
        Ok(())
    }

    fn payload_bytes_max(&self) -> usize {
        match &*self.state.read() {
            // A payload travels in one packet with the rest of its row.
            State::Open(database) => session::row_bytes_max(database.pool.packet_bytes())
                .saturating_sub(ENVELOPE_OVERHEAD_MAX),
            State::New | State::Closed => usize::MAX,
        }
    }

    fn is_configured(&self) -> bool {
        true
    }

    fn is_exclusive(&self) -> bool {
        false
    }

    async fn close(&self) -> Result<(), ArchiveError> {
        let _turn = self.turn.lock().await;
        let before = std::mem::replace(&mut *self.state.write(), State::Closed);
        match before {
            State::New => Ok(()),
            State::Closed => Err(ArchiveError::Closed),
            State::Open(database) => {
                database.pool.close().await;
                Ok(())
            }
        }
    }
}

impl fmt::Debug for MysqlArchive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MysqlArchive")
            .field("database", &self.address.shown)
            .finish_non_exhaustive()
    }
}
