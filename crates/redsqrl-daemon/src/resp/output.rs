//! The writing side of a connection.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use sync_engine::env::{SharedEnv, timeout};
use tokio::io::AsyncWriteExt as _;
use tokio::net::tcp::OwnedWriteHalf;

use super::shared::RespShared;

/// A buffer that grew beyond this is given back once it is empty.
pub(super) const BUFFER_KEPT_BYTES: usize = 1024 * 1024;

/// Replies on their way to a client. Nothing new is read from a client before its replies are
/// written, so that a slow reader slows only itself and holds one batch of replies at the most.
pub(super) struct Output {
    /// Replies not sent yet.
    pub buf: BytesMut,
    socket: OwnedWriteHalf,
    shared: Arc<RespShared>,
    env: SharedEnv,
    stall_max: Duration,
    relieve_above: usize,
    /// Replies from here on are not wanted (CLIENT REPLY).
    muted_from: Option<usize>,
}

impl Output {
    pub(super) fn new(socket: OwnedWriteHalf, shared: Arc<RespShared>) -> Self {
        let limits = shared.limits();
        Output {
            buf: BytesMut::new(),
            socket,
            env: shared.env().clone(),
            stall_max: limits.write_stall_max,
            relieve_above: limits.output_bytes,
            muted_from: None,
            shared,
        }
    }

    /// Sends what there is if it is much. Called between the parts of a batch.
    pub(super) async fn relieve(&mut self) -> io::Result<()> {
        if let Some(from) = self.muted_from {
            self.buf.truncate(from);
        }
        if self.buf.len() < self.relieve_above {
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
    /// The client has gone, or takes nothing.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        let mut rest: &[u8] = &self.buf;
        while !rest.is_empty() {
            let written = match try_now(&self.socket, rest)? {
                0 => timeout(&*self.env, self.stall_max, self.socket.write(rest))
                    .await
                    .map_err(|stalled| io::Error::new(io::ErrorKind::TimedOut, stalled))??,
                written => written,
            };
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            rest = rest.get(written..).unwrap_or_default();
        }
        self.shared.stats.bytes_out.add(self.buf.len());
        self.buf.clear();
        if self.buf.capacity() > BUFFER_KEPT_BYTES {
            self.buf = BytesMut::new();
        }
        Ok(())
    }

    /// From here on replies are thrown away, until [`Output::unmute`].
    pub(super) fn mute(&mut self) {
        self.muted_from = Some(self.buf.len());
    }

    /// Ends what [`Output::mute`] began.
    pub(super) fn unmute(&mut self) {
        if let Some(from) = self.muted_from.take() {
            self.buf.truncate(from);
        }
    }
}

/// Writes what the socket takes at once, as a rule everything: no timer is needed then.
fn try_now(socket: &OwnedWriteHalf, bytes: &[u8]) -> io::Result<usize> {
    match socket.try_write(bytes) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        written => written,
    }
}
