//! The addresses a node listens on.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpSocket};

use super::NodeError;
use crate::config::NodeConfig;
use crate::http::{Face, HttpServer};
use crate::resp::{RespServer, RespShared};

/// Clients that may knock while the others are being let in.
const BACKLOG: u32 = 1024;

/// The open ports, before anybody is answered.
pub(super) struct Ports {
    http: TcpListener,
    resp: TcpListener,
}

impl Ports {
    pub(super) async fn open(config: &NodeConfig) -> Result<Self, NodeError> {
        Ok(Self {
            http: listen("HTTP", config.http.listen).await?,
            resp: listen("the Redis protocol", config.resp.listen).await?,
        })
    }

    pub(super) fn serve(
        self,
        face: Arc<Face>,
        shared: Arc<RespShared>,
    ) -> Result<(HttpServer, RespServer), NodeError> {
        let resp = RespServer::start(self.resp, shared).map_err(NodeError::Serve)?;
        let http = HttpServer::start(self.http, face).map_err(NodeError::Serve)?;
        Ok((http, resp))
    }
}

async fn listen(face: &'static str, address: SocketAddr) -> Result<TcpListener, NodeError> {
    open(address).map_err(|source| NodeError::Listen {
        face,
        address,
        source,
    })
}

fn open(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    // Accepted sockets inherit it: a client whose machine died is noticed by the system, and its place is free again.
    socket.set_keepalive(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpStream;

    #[tokio::test]
    async fn a_client_whose_machine_died_is_noticed() {
        let listening = listen("HTTP", "127.0.0.1:0".parse().unwrap())
            .await
            .unwrap();
        let client = TcpStream::connect(listening.local_addr().unwrap()).await;
        let (accepted, _) = listening.accept().await.unwrap();
        let accepted = TcpSocket::from_std_stream(accepted.into_std().unwrap());
        assert!(accepted.keepalive().unwrap());
        drop(client);
    }
}
