//! Connections: as many as there may be, closed politely at the end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::patient::Patient;
use super::{Face, router};

/// Connections at once. Past it, clients wait to be accepted.
const CONNECTIONS_MAX: usize = 1024;

/// How long a connection may take to send the head of a request, and so how long it may do nothing.
const HEAD_TIME_MAX: Duration = Duration::from_secs(30);

/// A client that takes no byte of its answer for so long is cut off.
const STALL_MAX: Duration = Duration::from_secs(60);

/// Longest head of a request, in bytes: the longest id, percent-encoded, and room for headers.
const HEAD_BYTES_MAX: usize = 32 << 10;

/// How long requests may go on after [`HttpServer::stop`].
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// A listening HTTP server.
pub struct HttpServer {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl HttpServer {
    /// Serves `face` on this listener until [`HttpServer::stop`].
    ///
    /// # Errors
    /// The listener has no address.
    pub fn start(listener: TcpListener, face: Arc<Face>) -> std::io::Result<Self> {
        let address = listener.local_addr()?;
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(accept(listener, face, stopped));
        Ok(Self {
            address,
            stop,
            task,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more connections, lets running requests end, and returns.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the HTTP server ended badly");
        }
    }
}

async fn accept(listener: TcpListener, face: Arc<Face>, stopped: watch::Receiver<bool>) {
    let mut told = stopped.clone();
    let service = TowerToHyperService::new(router(face));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = is_stopped(&mut told) => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, service.clone(), stopped.clone()));
                }
                Err(error) => {
                    // Usually too many open files: time helps, and an endless loop does not.
                    tracing::warn!(%error, "cannot accept an HTTP connection");
                    sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
    drop(listener);
    let rest = async { while connections.join_next().await.is_some() {} };
    if timeout(STOP_PATIENCE, rest).await.is_err() {
        tracing::warn!("some HTTP requests did not end in time and were cut off");
    }
}

/// A server that is gone has stopped, too.
async fn is_stopped(stopped: &mut watch::Receiver<bool>) {
    drop(stopped.wait_for(|stop| *stop).await);
}

type Service = TowerToHyperService<axum::Router>;

async fn serve(
    stream: TcpStream,
    service: Service,
    mut stopped: watch::Receiver<bool>,
) -> Result<(), Infallible> {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY");
    }
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_buf_size(HEAD_BYTES_MAX * 4)
        .serve_connection(TokioIo::new(Patient::new(stream, STALL_MAX)), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = is_stopped(&mut stopped) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // The client's affair: it went away, or does not speak HTTP.
        tracing::debug!(%error, "an HTTP connection ended");
    }
    Ok(())
}
