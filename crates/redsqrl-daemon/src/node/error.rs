//! Why a node did not start.

use std::net::SocketAddr;
use std::path::PathBuf;

use replication_engine::ReplicationError;
use sync_engine::StorageError;

use crate::config::ConfigFault;

/// A node that did not start. Says what to do about it where that is known.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The settings.
    #[error(transparent)]
    Config(#[from] ConfigFault),
    /// The data directory cannot be used.
    #[error("the data directory {}: {source}", path.display())]
    Directory {
        /// The directory, or the file in it.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another node has the data directory.
    #[error("the data directory {} is in use by a running node{}; stop that node or choose another `dir`", path.display(), by(*pid))]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The other process, if it can be told.
        pid: Option<u32>,
    },
    /// The kept node id is not one.
    #[error("{} should hold the node's id, and does not; write the id into it, or set `node_id`", path.display())]
    NodeId {
        /// The file.
        path: PathBuf,
    },
    /// An address cannot be listened on.
    #[error("cannot listen on {address} for {face}: {source}")]
    Listen {
        /// For what.
        face: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// Storage.
    #[error("storage did not start: {0}")]
    Engine(#[source] StorageError),
    /// Replication.
    #[error("replication did not start: {0}")]
    Replication(#[source] ReplicationError),
    /// An open port that cannot be served.
    #[error("cannot serve an open port: {0}")]
    Serve(#[source] std::io::Error),
}

fn by(pid: Option<u32>) -> String {
    pid.map_or(String::new(), |pid| format!(" (process {pid})"))
}
