//! One client: read, parse, execute, reply.

use std::future::{Future, pending};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::watch;

use super::command::{Block, XRead};
use super::execute::{Executor, Groups, Session};
use super::output::{BUFFER_KEPT_BYTES, Output};
use super::shared::RespShared;
use super::{Command, Limits, Parser, ProtocolError};
use crate::resp::streams::stream_reply;

/// The least room for one read.
const READ_BYTES_MIN: usize = 16 * 1024;

/// The most room for one read: a long value doubles the buffer no further than by this.
const READ_BYTES_MAX: usize = 1024 * 1024;

/// While a client waits in XREAD, so many bytes of its next commands are taken in.
const READ_AHEAD_BYTES: usize = 64 * 1024;

/// A connection and its task.
pub(super) struct Connection {
    shared: Arc<RespShared>,
    socket: OwnedReadHalf,
    input: BytesMut,
    parser: Parser,
    output: Output,
    session: Session,
    stop: watch::Receiver<bool>,
    limits: Limits,
    login_limits: Limits,
    since: Duration,
}

/// What comes after a round.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Round,
    Close,
}

impl Connection {
    pub(super) fn new(
        socket: TcpStream,
        peer: SocketAddr,
        shared: Arc<RespShared>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%error, "a client's socket keeps its delay");
        }
        let since = shared.env().monotonic();
        let (read, write) = socket.into_split();
        let limits = shared.limits().request;
        Connection {
            session: Session::new(
                shared.clients.enter(peer, since),
                shared.settings.password.is_none(),
            ),
            socket: read,
            input: BytesMut::new(),
            parser: Parser::new(),
            output: Output::new(write, shared.clone()),
            stop,
            login_limits: limits.unauthenticated(),
            limits,
            since,
            shared,
        }
    }

    /// Serves the client until one side ends it.
    pub(super) async fn run(mut self) {
        let ended = loop {
            match self.round().await {
                Ok(Next::Round) => {}
                ended => break ended,
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, client = self.session.id(), "a client has gone");
        }
    }

    /// Executes the commands that are there, or waits for more bytes.
    async fn round(&mut self) -> io::Result<Next> {
        let held = self.input.capacity();
        let mut commands = Vec::new();
        let parsed = self.parse(&mut commands);
        if !commands.is_empty() && self.serve(commands, held).await? == Next::Close {
            self.output.flush().await?;
            return Ok(Next::Close);
        }
        match parsed {
            Ok(0) => {
                self.output.flush().await?;
                self.read().await
            }
            Ok(_) => Ok(Next::Round),
            Err(error) => {
                self.shared.stats.protocol_errors.add(1);
                self.session
                    .reply(&mut self.output)
                    .error(&format!("ERR {error}"));
                self.output.flush().await?;
                Ok(Next::Close)
            }
        }
    }

    /// A client that may change its own limits with the next command gets one at a time.
    fn parse(&mut self, commands: &mut Vec<Command>) -> Result<usize, ProtocolError> {
        if self.session.is_authenticated() {
            let (parser, input) = (&mut self.parser, &mut self.input);
            return parser.parse_batch(input, &self.limits, commands);
        }
        let command = self.parser.parse(&mut self.input, &self.login_limits)?;
        commands.extend(command);
        Ok(commands.len())
    }

    async fn serve(&mut self, commands: Vec<Command>, held: usize) -> io::Result<Next> {
        let now = self.shared.env().monotonic();
        self.session.touch(now);
        self.shared.stats.commands.add(commands.len());
        let mut groups = Groups::new(commands);
        while let Some(group) = groups.next(|key| self.shared.place(key)) {
            let mut executor = Executor {
                shared: &self.shared,
                session: &mut self.session,
                output: &mut self.output,
                held,
            };
            if let Some(wait) = executor.run(group).await?
                && self.block(wait).await? == Next::Close
            {
                return Ok(Next::Close);
            }
            if self.session.is_closing() {
                return Ok(Next::Close);
            }
            self.output.relieve().await?;
        }
        Ok(Next::Round)
    }

    /// XREAD BLOCK: waits for entries, the time, the client's end or ours.
    async fn block(&mut self, wait: XRead) -> io::Result<Next> {
        self.output.flush().await?;
        let shared = self.shared.clone();
        let deadline: Pin<Box<dyn Future<Output = ()> + Send>> = match wait.block {
            Some(Block::Millis(ms)) => shared.env().sleep(Duration::from_millis(ms)),
            Some(Block::Forever) | None => Box::pin(pending()),
        };
        let mut found = std::pin::pin!(shared.streams.read(wait.read, deadline));
        let _blocked = Blocked::new(&self.shared);
        loop {
            let has_room = self.input.len() < READ_AHEAD_BYTES;
            if has_room {
                self.input.reserve(READ_BYTES_MIN);
            }
            tokio::select! {
                found = &mut found => {
                    let mut reply = self.session.reply(&mut self.output);
                    stream_reply::read(&mut reply, &found);
                    return Ok(Next::Round);
                }
                _ = self.stop.wait_for(|stop| *stop) => {
                    self.session.reply(&mut self.output).null_array();
                    return Ok(Next::Close);
                }
                read = self.socket.read_buf(&mut self.input), if has_room => match read? {
                    0 => return Ok(Next::Close),
                    read => self.shared.stats.bytes_in.add(read),
                },
            }
        }
    }

    async fn read(&mut self) -> io::Result<Next> {
        if self.input.is_empty() && self.input.capacity() > BUFFER_KEPT_BYTES {
            self.input = BytesMut::new();
        }
        let room = self.input.len().clamp(READ_BYTES_MIN, READ_BYTES_MAX);
        if self.input.capacity() - self.input.len() < READ_BYTES_MIN {
            self.input.reserve(room);
        }
        let patience = self.patience();
        let shared = self.shared.clone();
        let idle = async {
            match patience {
                Some(patience) => shared.env().sleep(patience).await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = self.stop.wait_for(|stop| *stop) => Ok(Next::Close),
            read = self.socket.read_buf(&mut self.input) => match read? {
                0 => Ok(Next::Close),
                read => {
                    self.shared.stats.bytes_in.add(read);
                    Ok(Next::Round)
                }
            },
            () = idle => Ok(Next::Close),
        }
    }

    /// How long the client may be silent now.
    fn patience(&self) -> Option<Duration> {
        let limits = self.shared.limits();
        if self.session.is_authenticated() {
            return limits.idle_max;
        }
        let gone = self.shared.env().monotonic().saturating_sub(self.since);
        Some(limits.login_max.saturating_sub(gone))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.clients.leave(self.session.id());
    }
}

/// Counts a waiting client for as long as it lives.
struct Blocked(Arc<RespShared>);

impl Blocked {
    fn new(shared: &Arc<RespShared>) -> Self {
        shared.stats.blocked.add(1);
        Blocked(shared.clone())
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        self.0.stats.blocked.take(1);
    }
}
