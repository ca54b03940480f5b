//! Accepting clients.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sync_engine::cdc::memory::MemoryLog;
use sync_engine::env::{Elapsed, timeout};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};

use super::connection::Connection;
use super::shared::RespShared;
use super::stream_wait::SharedStreams;

/// Clients that may knock while the others are being let in.
const BACKLOG: u32 = 1024;

/// After an accept that failed (no file descriptors left, as a rule) the next one waits so long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The Redis-protocol server, running. Dropping it closes the port and the connections;
/// [`RespServer::stop`] also waits for them.
pub struct RespServer {
    addr: SocketAddr,
    stop: watch::Sender<bool>,
    /// One permit for each connection there may be.
    slots: Arc<Semaphore>,
    shared: Arc<RespShared>,
}

impl RespServer {
    /// Opens a port. See [`RespServer::start`].
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub fn bind(addr: SocketAddr, shared: Arc<RespShared>) -> io::Result<Self> {
        let socket = match addr {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.set_reuseaddr(true)?;
        // Accepted sockets inherit it: a client whose machine died is noticed by the system.
        socket.set_keepalive(true)?;
        socket.bind(addr)?;
        RespServer::start(socket.listen(BACKLOG)?, shared)
    }

    /// Serves the clients that come to `listener`, until it is stopped.
    ///
    /// # Errors
    /// The listener has no address.
    pub fn start(listener: TcpListener, shared: Arc<RespShared>) -> io::Result<Self> {
        let server = RespServer {
            addr: listener.local_addr()?,
            stop: watch::Sender::new(false),
            slots: Arc::new(Semaphore::new(slots(&shared))),
            shared,
        };
        let door = Door {
            shared: server.shared.clone(),
            slots: server.slots.clone(),
            stop: server.stop.subscribe(),
        };
        let env = server.shared.env();
        env.spawn("resp accept", Box::pin(door.run(listener)));
        if let Some(log) = &server.shared.log {
            let streams = server.shared.streams();
            let forward = forward_news(log.clone(), streams, server.stop.subscribe());
            env.spawn("resp news", Box::pin(forward));
        }
        Ok(server)
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Closes the port, lets every connection finish the commands it has read, and waits for that,
    /// at most for `patience`.
    ///
    /// # Errors
    /// Some connection did not end in time; it ends when its command does.
    pub async fn stop(&self, patience: Duration) -> Result<(), Elapsed> {
        self.stop.send_replace(true);
        let all = u32::try_from(slots(&self.shared)).unwrap_or(u32::MAX);
        let ended = timeout(&**self.shared.env(), patience, self.slots.acquire_many(all)).await?;
        drop(ended); // the semaphore is never closed
        Ok(())
    }
}

impl Drop for RespServer {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

fn slots(shared: &RespShared) -> usize {
    shared.limits().clients_max.clamp(1, u32::MAX as usize >> 4)
}

/// The task at the port.
struct Door {
    shared: Arc<RespShared>,
    slots: Arc<Semaphore>,
    stop: watch::Receiver<bool>,
}

impl Door {
    async fn run(mut self, listener: TcpListener) {
        loop {
            let accepted = tokio::select! {
                _ = self.stop.wait_for(|stop| *stop) => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((socket, peer)) => self.admit(socket, peer),
                Err(error) => {
                    tracing::warn!(%error, "a client could not be accepted");
                    self.shared.env().sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn admit(&self, socket: TcpStream, peer: SocketAddr) {
        let shared = &self.shared;
        let Ok(slot) = self.slots.clone().try_acquire_owned() else {
            shared.stats.rejected.add(1);
            // As much as fits at once; whoever does not read it sees the connection close.
            socket
                .try_write(b"-ERR max number of clients reached\r\n")
                .ok();
            return;
        };
        shared.stats.connections.add(1);
        let connection = Connection::new(socket, peer, shared.clone(), self.stop.clone());
        let serve = async move {
            connection.run().await;
            drop(slot);
        };
        shared.env().spawn("resp client", Box::pin(serve));
    }
}

/// Wakes the readers of the change stream when it grows.
async fn forward_news(
    log: Arc<MemoryLog>,
    streams: Arc<SharedStreams>,
    mut stop: watch::Receiver<bool>,
) {
    let mut news = log.subscribe();
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            changed = news.changed() => match changed {
                Ok(()) => streams.wake(),
                Err(_) => return,
            },
        }
    }
}
