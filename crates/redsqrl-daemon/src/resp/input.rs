//! The reading side of a connection.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use sync_engine::env::{SharedEnv, timeout};
use tokio::io::AsyncReadExt as _;
use tokio::net::tcp::OwnedReadHalf;

use super::shared::RespShared;
use super::{Command, Limits, Parser, ProtocolError};
use crate::budget::{Held, NoRoom};
use crate::limits::CLIENT_BYTES;
use crate::pace::Pace;

/// The least room for one read.
const READ_BYTES_MIN: usize = 16 * 1024;

/// The most room for one read of which nobody knows how much will come.
const READ_BYTES_MAX: usize = 128 * 1024;

/// While a client waits in XREAD, so many bytes of its next commands are taken in.
const READ_AHEAD_BYTES: usize = 64 * 1024;

/// What an argument may take beside its bytes while its command is carried out: two of them become an item.
const ARG_BYTES: usize = 256;

/// So much of a request that was refused is read all the same…
const DRAIN_BYTES_MAX: usize = 64 << 20;

/// …until nothing comes for so long…
const DRAIN_SILENCE_MAX: Duration = Duration::from_secs(1);

/// …and for so long altogether.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(5);

/// Requests on their way from a client.
///
/// The rule: beyond [`CLIENT_BYTES`] nothing is kept for which there is no room among all requests.
pub(super) struct Input {
    socket: OwnedReadHalf,
    buf: BytesMut,
    /// What the buffer has allocated, the part that was handed out included.
    allocated: usize,
    parser: Parser,
    room: Option<Held>,
    pace: Pace,
    shared: Arc<RespShared>,
}

impl Input {
    pub(super) fn new(socket: OwnedReadHalf, shared: Arc<RespShared>) -> Self {
        Input {
            socket,
            buf: BytesMut::new(),
            allocated: 0,
            parser: Parser::new(),
            room: None,
            pace: Pace::new(shared.limits().stall_max),
            shared,
        }
    }

    /// Bytes of the buffer whose slices the commands are.
    pub(super) fn allocated(&self) -> usize {
        self.allocated
    }

    /// Whether the requests that are here take room among all requests.
    pub(super) fn takes_room(&self) -> bool {
        self.room.is_some()
    }

    /// How long the client may send nothing, if it keeps others from sending.
    pub(super) fn patience(&self) -> Option<Duration> {
        let stall_max = self.shared.limits().stall_max;
        self.takes_room().then_some(stall_max)
    }

    /// Takes out the whole commands that are there; with `one` at most one. How many these are.
    ///
    /// # Errors
    /// As [`Parser::parse_batch`].
    pub(super) fn parse(
        &mut self,
        limits: &Limits,
        one: bool,
        commands: &mut Vec<Command>,
    ) -> Result<usize, ProtocolError> {
        if !one {
            return self.parser.parse_batch(&mut self.buf, limits, commands);
        }
        commands.extend(self.parser.parse(&mut self.buf, limits)?);
        Ok(commands.len())
    }

    /// Takes room for these commands and what is behind them.
    ///
    /// # Errors
    /// There is none.
    pub(super) async fn hold(&mut self, commands: &[Command]) -> Result<(), NoRoom> {
        let args: usize = commands.iter().map(|command| command.args.len()).sum();
        let beside = args.saturating_mul(ARG_BYTES);
        self.take(self.allocated.saturating_add(beside)).await
    }

    /// Notes that the commands are gone: what came behind them does not keep their buffer.
    pub(super) fn let_go(&mut self) {
        if self.allocated > CLIENT_BYTES {
            self.buf = BytesMut::from(&self.buf[..]);
            self.allocated = self.buf.capacity();
        }
    }

    /// Makes room for the next read.
    ///
    /// # Errors
    /// There is none among all requests.
    pub(super) async fn prepare(&mut self) -> Result<(), NoRoom> {
        let (len, capacity) = (self.buf.len(), self.buf.capacity());
        // An argument is as long as was announced: it gets its room in one step, and no more.
        let (least, more) = match self.parser.missing(len) {
            0 => (READ_BYTES_MIN, len.clamp(READ_BYTES_MIN, READ_BYTES_MAX)),
            missing => (missing.min(READ_BYTES_MIN), missing.max(READ_BYTES_MIN)),
        };
        if capacity - len >= least {
            return self.take(self.allocated).await;
        }
        // A buffer that grows doubles, but does not become longer than a request.
        let longest = self.shared.limits().request.request_bytes_max;
        let doubled = capacity.saturating_mul(2);
        let grown = len.saturating_add(more).max(doubled.min(longest));
        self.take(grown).await?;
        match grown < doubled {
            true => {
                let mut buf = BytesMut::with_capacity(grown);
                buf.extend_from_slice(&self.buf);
                self.buf = buf;
            }
            false => self.buf.reserve(more),
        }
        self.allocated = self.buf.capacity();
        self.take(self.allocated).await
    }

    /// Reads what comes; 0: the client has ended. To be called after [`Input::prepare`]; dropping the
    /// future loses nothing.
    pub(super) async fn read(&mut self) -> io::Result<usize> {
        let since = self.shared.env().monotonic();
        let read = self.socket.read_buf(&mut self.buf).await?;
        self.shared.stats.bytes_in.add(read);
        let waited = self.shared.env().monotonic().saturating_sub(since);
        let Some(room) = &self.room else {
            return Ok(read);
        };
        if !self.pace.keeps_up(waited, read, room.bytes()) {
            let why = "the client sends next to nothing";
            return Err(io::Error::new(io::ErrorKind::TimedOut, why));
        }
        Ok(read)
    }

    /// Reads while the client waits for an answer, but not much.
    pub(super) async fn read_ahead(&mut self) -> io::Result<usize> {
        if self.buf.len() >= READ_AHEAD_BYTES {
            return std::future::pending().await;
        }
        self.buf.reserve(READ_BYTES_MIN);
        self.allocated = self.allocated.max(self.buf.capacity());
        let read = self.socket.read_buf(&mut self.buf).await?;
        self.shared.stats.bytes_in.add(read);
        Ok(read)
    }

    /// Reads on and keeps nothing, for a while: a client that is still sending would be cut off before it reads why.
    /// Dropping the future is safe.
    pub(super) async fn drain(&mut self) {
        self.buf = BytesMut::with_capacity(READ_BYTES_MIN);
        self.room = None;
        let env = self.shared.env().clone();
        // Whether it was read to its end changes nothing.
        timeout(&*env, DRAIN_TIME_MAX, self.drain_until_silence(&env))
            .await
            .ok();
    }

    async fn drain_until_silence(&mut self, env: &SharedEnv) {
        let mut drained = 0;
        while drained < DRAIN_BYTES_MAX {
            self.buf.clear();
            let read = self.socket.read_buf(&mut self.buf);
            match timeout(&**env, DRAIN_SILENCE_MAX, read).await {
                Ok(Ok(read)) if read > 0 => drained += read,
                _ => return,
            }
        }
    }

    /// Has room for so many bytes, and for the parser's index: takes or gives back the difference. More than all there is
    /// means all there is: to wait for more would be in vain.
    async fn take(&mut self, bytes: usize) -> Result<(), NoRoom> {
        let bytes = bytes.saturating_add(self.parser.index_bytes());
        if bytes <= CLIENT_BYTES {
            self.room = None;
            return Ok(());
        }
        let requests = &self.shared.budget.requests;
        let bytes = bytes.min(requests.total_bytes());
        match &mut self.room {
            Some(room) if room.bytes() >= bytes => room.shrink_to(bytes),
            Some(room) => room.add(requests.take(bytes - room.bytes()).await?),
            None => self.room = Some(requests.take(bytes).await?),
        }
        Ok(())
    }
}
