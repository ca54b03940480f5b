//! How a connection is made.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use futures_util::future::{select, select_ok};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ConnectionAddr, ConnectionInfo, ErrorKind, RedisError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::meter::ReplyTooLarge;
use super::metered::{Metered, Overrun};
use crate::env::{SharedEnv, timeout};

/// A connection. It is closed when its last clone is gone.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) redis: MultiplexedConnection,
    overrun: Overrun,
    /// Its driver ends with this.
    _open: Arc<oneshot::Sender<()>>,
}

impl Connection {
    /// The reply that it was given up for.
    pub(super) fn overrun(&self) -> Option<&ReplyTooLarge> {
        self.overrun.get()
    }
}

/// Where to connect, and how.
pub(super) struct Dial {
    pub(super) info: ConnectionInfo,
    pub(super) config: AsyncConnectionConfig,
    /// Longest wait, sign in included.
    pub(super) patience: Duration,
    /// Bytes of one reply.
    pub(super) limit: Arc<AtomicUsize>,
    pub(super) env: SharedEnv,
}

impl Dial {
    /// Connects, and signs in.
    pub(super) async fn connection(&self) -> Result<Connection, RedisError> {
        match timeout(&*self.env, self.patience, self.connect()).await {
            Ok(connected) => connected,
            Err(elapsed) => Err(io::Error::new(io::ErrorKind::TimedOut, elapsed).into()),
        }
    }

    async fn connect(&self) -> Result<Connection, RedisError> {
        match self.info.addr() {
            ConnectionAddr::Tcp(host, port) => self.sign_in(reach(host, *port).await?).await,
            #[cfg(unix)]
            ConnectionAddr::Unix(path) => {
                self.sign_in(tokio::net::UnixStream::connect(path).await?)
                    .await
            }
            _ => Err((
                ErrorKind::InvalidClientConfig,
                "this build has no such way to a server",
            )
                .into()),
        }
    }

    async fn sign_in<S>(&self, stream: S) -> Result<Connection, RedisError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let overrun = Overrun::default();
        let stream = Metered::new(stream, self.limit.clone(), overrun.clone());
        let (settings, config) = (self.info.redis_settings(), self.config.clone());
        let (redis, driver) =
            MultiplexedConnection::new_with_config(settings, stream, config).await?;
        let (open, closed) = oneshot::channel();
        let until_closed = async move {
            select(std::pin::pin!(driver), closed).await;
        };
        self.env.spawn("redis-link", Box::pin(until_closed));
        Ok(Connection {
            redis,
            overrun,
            _open: Arc::new(open),
        })
    }
}

/// The address of a name that answers first.
async fn reach(host: &str, port: u16) -> io::Result<TcpStream> {
    let addrs = tokio::net::lookup_host((host, port)).await?;
    let attempts: Vec<_> = addrs
        .map(|addr| Box::pin(TcpStream::connect(addr)))
        .collect();
    if attempts.is_empty() {
        let what = "the name has no address";
        return Err(io::Error::new(io::ErrorKind::NotFound, what));
    }
    let (stream, _) = select_ok(attempts).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
