//! A connection whose client must take what it asked for: one that reads nothing would keep its place for ever.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use crate::pace::Pace;

/// A stream of which no write waits for longer than its patience, and whose client keeps up a [`Pace`].
pub(super) struct Patient {
    stream: TcpStream,
    patience: Duration,
    /// Runs while a write waits, since when.
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
    pace: Pace,
    /// The most bytes that lay ready since they last were all taken: as long as some do, their room is held.
    ready_bytes: usize,
}

impl Patient {
    pub(super) fn new(stream: TcpStream, patience: Duration) -> Self {
        Self {
            stream,
            patience,
            waiting: None,
            pace: Pace::new(patience),
            ready_bytes: 0,
        }
    }

    fn judge(
        &mut self,
        context: &mut Context<'_>,
        ready_bytes: usize,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        self.ready_bytes = self.ready_bytes.max(ready_bytes);
        if let Poll::Ready(written) = written {
            let waited = self.waiting.take().map(|(since, _)| since.elapsed());
            let waited = waited.unwrap_or_default();
            let bytes = *written.as_ref().unwrap_or(&0);
            let keeps_up = self.pace.keeps_up(waited, bytes, self.ready_bytes);
            if bytes == ready_bytes {
                self.ready_bytes = 0;
            }
            return match keeps_up {
                true => Poll::Ready(written),
                false => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            };
        }
        let patience = self.patience;
        let (_, waiting) = self
            .waiting
            .get_or_insert_with(|| (Instant::now(), Box::pin(sleep(patience))));
        match waiting.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(context, bytes.len(), written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        let ready_bytes = bytes.iter().map(|part| part.len()).sum();
        self.judge(context, ready_bytes, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpSocket};

    const PATIENCE: Duration = Duration::from_secs(2);

    #[tokio::test]
    async fn a_client_that_reads_nothing_is_given_up_and_a_slow_one_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (served, _) = listener.accept().await.unwrap();
        let mut served = Patient::new(served, PATIENCE);
        // More than the buffers of any system take beside what is read.
        let much = vec![0; 512 << 20];
        let reading = async {
            // Twice as long as the patience, and never silent for all of it.
            let mut taken = vec![0; 4 << 20];
            for _ in 0..8 {
                tokio::time::sleep(PATIENCE / 4).await;
                client.read_exact(&mut taken).await.unwrap();
            }
            client
        };
        let (written, _client) = tokio::join!(served.write_all(&much), reading);
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn i8_a_client_that_takes_next_to_nothing_is_given_up() {
        // 80 KiB a second would be enough of less than 16 MiB.
        tokio::join!(
            is_given_up(1 << 10, 1 << 20),
            is_given_up(8 << 10, 16 << 20)
        );
    }

    /// Gives up a client that takes so many bytes ten times a second.
    async fn is_given_up(sip_bytes: usize, reply_bytes: usize) {
        const PATIENCE: Duration = Duration::from_secs(1);
        // Whatever the system buffers, each few bytes are waited for.
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_send_buffer_size(4096).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let client = socket.connect(listener.local_addr().unwrap());
        let mut client = client.await.unwrap();
        let (served, _) = listener.accept().await.unwrap();
        let mut served = Patient::new(served, PATIENCE);
        let sipping = tokio::spawn(async move {
            let mut sip = vec![0; sip_bytes];
            while client.read_exact(&mut sip).await.is_ok() {
                tokio::time::sleep(PATIENCE / 10).await;
            }
        });
        let written = tokio::time::timeout(60 * PATIENCE, async {
            served.write_all(&vec![0; reply_bytes]).await
        });
        let given_up = written.await.expect("an end in time").unwrap_err();
        assert_eq!(given_up.kind(), io::ErrorKind::TimedOut);
        sipping.abort();
    }
}
