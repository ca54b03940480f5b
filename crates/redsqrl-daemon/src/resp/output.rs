//! The writing side of a connection.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use sync_engine::env::{SharedEnv, timeout};
use tokio::io::AsyncWriteExt as _;
use tokio::net::tcp::OwnedWriteHalf;

use super::pieces::Pieces;
use super::shared::RespShared;
use crate::budget::Held;
use crate::limits::CLIENT_BYTES;
use crate::pace::Pace;

/// Replies on their way to a client. Nothing new is read from a client before its replies are
/// written, so that a slow reader slows only itself and holds one batch of replies at the most.
pub(super) struct Output {
    /// Replies not sent yet.
    pub pieces: Pieces,
    client: Client,
    shared: Arc<RespShared>,
    /// Bytes sent so far.
    sent: u64,
    /// Replies from here on are not wanted (CLIENT REPLY).
    muted_from: Option<usize>,
}

/// A place in what a client is sent.
#[derive(Clone, Copy)]
pub(super) struct Mark(u64);

impl Output {
    pub(super) fn new(socket: OwnedWriteHalf, shared: Arc<RespShared>) -> Self {
        let stall_max = shared.limits().stall_max;
        Output {
            pieces: Pieces::default(),
            client: Client {
                socket,
                env: shared.env().clone(),
                stall_max,
                pace: Pace::new(stall_max),
                held_bytes: 0,
            },
            sent: 0,
            muted_from: None,
            shared,
        }
    }

    /// Notes the room that is held until what comes next is sent: the client has to take more, the more it is.
    pub(super) fn holds(&mut self, room: Option<&Held>) {
        self.client.held_bytes = room.map_or(0, Held::bytes);
    }

    /// Sends what there is if it is much. Called between the parts of a batch.
    ///
    /// # Errors
    /// As [`Output::flush`].
    pub(super) async fn relieve(&mut self) -> io::Result<()> {
        if let Some(from) = self.muted_from {
            self.pieces.truncate(from);
        }
        if self.pieces.len() < CLIENT_BYTES {
            return Ok(());
        }
        let muted = self.muted_from.take().is_some();
        self.flush().await?;
        self.muted_from = muted.then_some(0);
        Ok(())
    }

    /// Sends everything.
    ///
    /// # Errors
    /// The client has gone, or takes nothing or next to nothing.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        for piece in self.pieces.iter() {
            self.client.write(piece).await?;
        }
        let sent = self.pieces.len();
        self.shared.stats.bytes_out.add(sent);
        self.sent = self.sent.saturating_add(sent as u64);
        self.pieces.clear(CLIENT_BYTES);
        Ok(())
    }

    /// The place behind what was written so far.
    pub(super) fn mark(&self) -> Mark {
        Mark(self.sent.saturating_add(self.pieces.len() as u64))
    }

    /// Takes back what was written behind a place; `false`: some of it has been sent.
    pub(super) fn take_back(&mut self, mark: Mark) -> bool {
        let len = mark.0.checked_sub(self.sent);
        let len = len.and_then(|len| usize::try_from(len).ok());
        if let Some(len) = len {
            self.pieces.truncate(len);
        }
        len.is_some()
    }

    /// From here on replies are thrown away, until [`Output::unmute`].
    pub(super) fn mute(&mut self) {
        self.muted_from = Some(self.pieces.len());
    }

    /// Ends what [`Output::mute`] began.
    pub(super) fn unmute(&mut self) {
        if let Some(from) = self.muted_from.take() {
            self.pieces.truncate(from);
        }
    }
}

/// Who reads the replies.
struct Client {
    socket: OwnedWriteHalf,
    env: SharedEnv,
    stall_max: Duration,
    pace: Pace,
    /// The room that is held for what is sent now.
    held_bytes: usize,
}

impl Client {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            // As a rule the socket takes everything at once: no timer is needed then.
            let (written, waited) = match self.socket.try_write(rest) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.wait_and_write(rest).await?
                }
                written => (written?, Duration::ZERO),
            };
            if !self.pace.keeps_up(waited, written, self.held_bytes) {
                let why = "the client takes next to nothing";
                return Err(io::Error::new(io::ErrorKind::TimedOut, why));
            }
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            rest = rest.get(written..).unwrap_or_default();
        }
        Ok(())
    }

    async fn wait_and_write(&mut self, bytes: &[u8]) -> io::Result<(usize, Duration)> {
        let since = self.env.monotonic();
        let write = timeout(&*self.env, self.stall_max, self.socket.write(bytes));
        let written = write
            .await
            .map_err(|stalled| io::Error::new(io::ErrorKind::TimedOut, stalled))?;
        Ok((written?, self.env.monotonic().saturating_sub(since)))
    }
}
