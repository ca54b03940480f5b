//! A stream whose replies are weighed.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::meter::{Meter, ReplyTooLarge, Unfit};

/// What stopped a connection for good, if anything did: told past the driver, which only says that the line is dead.
pub(super) type Overrun = Arc<OnceLock<ReplyTooLarge>>;

/// Reading fails for good once a reply is too large, and gives nothing of what came last.
pub(super) struct Metered<S> {
    stream: S,
    meter: Meter,
    limit: Arc<AtomicUsize>,
    overrun: Overrun,
}

impl<S> Metered<S> {
    /// Weighs what comes out of `stream` against `limit`, which may change.
    pub(super) fn new(stream: S, limit: Arc<AtomicUsize>, overrun: Overrun) -> Self {
        Self {
            stream,
            meter: Meter::new(),
            limit,
            overrun,
        }
    }

    fn give_up(&self, unfit: Unfit) -> io::Error {
        if let Unfit::TooLarge(too_large) = &unfit {
            self.overrun.get_or_init(|| too_large.clone());
        }
        io::Error::new(io::ErrorKind::InvalidData, unfit)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let limit = self.limit.load(Ordering::Relaxed);
        let came = buf.filled().get(before..).unwrap_or_default();
        match self.meter.weigh(came, limit) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(unfit) => {
                buf.set_filled(before);
                Poll::Ready(Err(self.give_up(unfit)))
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
