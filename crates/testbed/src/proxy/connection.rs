use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};

use super::{Fault, Traffic};

const CHUNK_BYTES: usize = 64 * 1024;

/// Chunks under way in one direction: bounds memory, and with a delay the throughput (16 MiB per delay).
const CHUNKS_UNDER_WAY: usize = 256;

/// Carries a connection until one side fails or both have ended.
pub(super) async fn carry(
    client: TcpStream,
    upstream: SocketAddr,
    mut fault: watch::Receiver<Fault>,
    traffic: Arc<Traffic>,
) -> io::Result<()> {
    let stalled = fault.wait_for(|fault| *fault != Fault::Stall).await;
    stalled.map_err(ended)?;
    let server = TcpStream::connect(upstream).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let up = Lane::new(&fault, Fault::DropToServer, &traffic.to_server);
    let down = Lane::new(&fault, Fault::DropToClient, &traffic.to_client);
    tokio::try_join!(
        up.carry(from_client, to_server),
        down.carry(from_server, to_client),
    )?;
    Ok(())
}

/// One direction of one connection.
struct Lane<'a> {
    fault: &'a watch::Receiver<Fault>,
    /// The fault that drops this direction's bytes.
    dropping: Fault,
    delivered: &'a AtomicU64,
    /// Bytes vanished, so nothing that comes after them may arrive.
    lossy: AtomicBool,
}

struct Chunk {
    due: Instant,
    bytes: Vec<u8>,
}

impl<'a> Lane<'a> {
    fn new(
        fault: &'a watch::Receiver<Fault>,
        dropping: Fault,
        delivered: &'a AtomicU64,
    ) -> Lane<'a> {
        Lane {
            fault,
            dropping,
            delivered,
            lossy: AtomicBool::new(false),
        }
    }

    /// Reads and writes at the same time, so that a delay delays bytes but does not hold up those behind them.
    async fn carry(&self, from: OwnedReadHalf, to: OwnedWriteHalf) -> io::Result<()> {
        let (queue, chunks) = mpsc::channel(CHUNKS_UNDER_WAY);
        tokio::try_join!(self.read(from, queue), self.write(to, chunks))?;
        Ok(())
    }

    async fn read(&self, mut from: OwnedReadHalf, queue: mpsc::Sender<Chunk>) -> io::Result<()> {
        let mut fault = self.fault.clone();
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let current = self.flowing(&mut fault).await?;
            let length = tokio::select! {
                biased;
                changed = fault.changed() => { changed.map_err(ended)?; continue }
                read = from.read(&mut buffer) => read?,
            };
            if current == self.dropping {
                self.lossy.store(true, Ordering::Relaxed);
                if length == 0 {
                    // The end of the stream vanishes like any other news.
                    fault.changed().await.map_err(ended)?;
                }
                continue;
            }
            let Some(bytes) = buffer.get(..length).filter(|bytes| !bytes.is_empty()) else {
                return Ok(()); // the queue ends, so the writer passes the end on
            };
            let chunk = Chunk {
                due: Instant::now() + delay(current),
                bytes: bytes.to_vec(),
            };
            queue.send(chunk).await.map_err(ended)?;
        }
    }

    async fn write(
        &self,
        mut to: OwnedWriteHalf,
        mut chunks: mpsc::Receiver<Chunk>,
    ) -> io::Result<()> {
        let mut fault = self.fault.clone();
        while let Some(Chunk { due, bytes }) = chunks.recv().await {
            sleep_until(due).await;
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                if self.flowing(&mut fault).await? == self.dropping {
                    self.lossy.store(true, Ordering::Relaxed);
                    break;
                }
                let written = tokio::select! {
                    biased;
                    changed = fault.changed() => { changed.map_err(ended)?; continue }
                    written = to.write(rest) => written?,
                };
                self.delivered.fetch_add(written as u64, Ordering::Relaxed);
                rest = rest.get(written..).unwrap_or_default();
            }
        }
        self.flowing(&mut fault).await?;
        to.shutdown().await
    }

    /// Waits while stalled and returns the fault now in force; ends the connection if bytes were lost and would pass.
    async fn flowing(&self, fault: &mut watch::Receiver<Fault>) -> io::Result<Fault> {
        loop {
            let current = *fault.borrow_and_update();
            if current == Fault::Stall {
                fault.changed().await.map_err(ended)?;
            } else if current != self.dropping && self.lossy.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::ConnectionAborted.into());
            } else {
                return Ok(current);
            }
        }
    }
}

fn delay(fault: Fault) -> Duration {
    match fault {
        Fault::Delay(delay) => delay,
        Fault::Pass | Fault::Cut | Fault::Stall | Fault::DropToServer | Fault::DropToClient => {
            Duration::ZERO
        }
    }
}

/// The proxy, or the other half of the connection, has ended.
fn ended<E>(_: E) -> io::Error {
    io::ErrorKind::ConnectionAborted.into()
}
