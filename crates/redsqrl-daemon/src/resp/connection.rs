//! One client: read, parse, execute, reply.

mod wait;

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;

use super::execute::{Executor, Groups, Session};
use super::input::Input;
use super::output::Output;
use super::shared::RespShared;
use super::{Command, Limits, ProtocolError};
use crate::budget::NoRoom;

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
        tokio::select! {
            _ = self.stop.wait_for(|stop| *stop) => {}
            () = self.input.drain() => {}
        }
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
            self.output.holds(None);
            if self.session.is_closing() {
                return Ok(Next::Close);
            }
            self.output.relieve().await?;
        }
        Ok(Next::Round)
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
