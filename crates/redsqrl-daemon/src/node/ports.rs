//! The addresses a node listens on.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;

use super::NodeError;
use crate::config::NodeConfig;
use crate::http::{Face, HttpServer};
use crate::resp::{RespServer, RespShared};

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
    let listening = TcpListener::bind(address).await;
    listening.map_err(|source| NodeError::Listen {
        face,
        address,
        source,
    })
}
