//! One client: read, parse, execute, reply.

use std::future::{Future, pending};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;

use super::command::{Block, XRead};
use super::execute::{Executor, Groups, Session};
use super::input::Input;
use super::output::Output;
use super::shared::RespShared;
use super::{Command, Limits, ProtocolError};
use crate::budget::NoRoom;
use crate::resp::streams::Read;

/// A connection and its task.
pub(super) struct Connection {
    shared: Arc<RespShared>,
    input: Input,
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

/// When a wait is over.
type Deadline = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How a wait for news ends.
enum News {
    /// There are some.
    There,
    /// The time was over before.
    None,
    /// The server stops.
    Stop,
    /// The client has gone.
    Gone,
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
            input: Input::new(read, shared.clone()),
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
        let mut commands = Vec::new();
        let parsed = self.parse(&mut commands);
        if !commands.is_empty() {
            if let Err(full) = self.input.hold(&commands).await {
                return self.turn_away(&full).await;
            }
            if self.serve(commands).await? == Next::Close {
                self.output.flush().await?;
                return Ok(Next::Close);
            }
            self.input.let_go();
        }
        match parsed {
            Ok(0) => {
                self.output.flush().await?;
                self.read().await
            }
            Ok(_) => Ok(Next::Round),
            Err(error) => {
                self.shared.stats.protocol_errors.add(1);
                self.refuse(&format!("ERR {error}")).await
            }
        }
    }

    /// Says why the client cannot be listened to any more.
    async fn refuse(&mut self, why: &str) -> io::Result<Next> {
        self.session.reply(&mut self.output).error(why);
        self.output.flush().await?;
        Ok(Next::Close)
    }

    /// Has no room for what the client sends.
    async fn turn_away(&mut self, full: &NoRoom) -> io::Result<Next> {
        let refused = self.refuse(&format!("BUSY {full}")).await;
        self.input.drain().await;
        refused
    }

    /// A client that may change its own limits with the next command gets one at a time.
    fn parse(&mut self, commands: &mut Vec<Command>) -> Result<usize, ProtocolError> {
        match self.session.is_authenticated() {
            true => self.input.parse(&self.limits, false, commands),
            false => self.input.parse(&self.login_limits, true, commands),
        }
    }

    async fn serve(&mut self, commands: Vec<Command>) -> io::Result<Next> {
        let now = self.shared.env().monotonic();
        self.session.touch(now);
        self.shared.stats.commands.add(commands.len());
        let mut groups = Groups::new(commands);
        while let Some(group) = groups.next(|key| self.shared.place(key)) {
            if let Some(wait) = self.executor().run(group).await?
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
        let mut deadline: Deadline = match wait.block {
            Some(Block::Millis(ms)) => shared.env().sleep(Duration::from_millis(ms)),
            Some(Block::Forever) | None => Box::pin(pending()),
        };
        let read = shared.streams.resolve(wait.read);
        let _blocked = Blocked::new(&self.shared);
        loop {
            let next = match self.await_news(&read, &mut deadline).await? {
                News::There if self.executor().answer_read(&read).await? => Next::Round,
                // Gone again before it was read.
                News::There => continue,
                News::None => {
                    self.session.reply(&mut self.output).null_array();
                    Next::Round
                }
                News::Stop => {
                    self.session.reply(&mut self.output).null_array();
                    Next::Close
                }
                News::Gone => Next::Close,
            };
            return Ok(next);
        }
    }

    async fn await_news(&mut self, read: &Read, deadline: &mut Deadline) -> io::Result<News> {
        let shared = self.shared.clone();
        let mut news = std::pin::pin!(shared.streams.wait(read, deadline));
        loop {
            tokio::select! {
                there = &mut news => return Ok(match there {
                    true => News::There,
                    false => News::None,
                }),
                _ = self.stop.wait_for(|stop| *stop) => return Ok(News::Stop),
                read = self.input.read_ahead() => if read? == 0 {
                    return Ok(News::Gone);
                },
            }
        }
    }

    fn executor(&mut self) -> Executor<'_> {
        Executor {
            shared: &self.shared,
            session: &mut self.session,
            output: &mut self.output,
            held: self.input.allocated(),
        }
    }

    async fn read(&mut self) -> io::Result<Next> {
        if let Err(full) = self.input.prepare().await {
            return self.turn_away(&full).await;
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
            read = self.input.read() => match read? {
                0 => Ok(Next::Close),
                _ => Ok(Next::Round),
            },
            () = idle => Ok(Next::Close),
        }
    }

    /// How long the client may be silent now.
    fn patience(&self) -> Option<Duration> {
        let limits = self.shared.limits();
        if self.session.is_authenticated() {
            return self.input.patience().or(limits.idle_max);
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
