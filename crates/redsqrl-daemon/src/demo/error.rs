//! Why a demo could not go on.

use std::path::PathBuf;
use std::time::Duration;

use super::NAMES;

/// What ended the demo before its last check. A check that fails is no such thing: it is a result.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A file or a directory.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A directory with something in it.
    #[error("{} is not empty; choose another --dir, or none", .0.display())]
    NotEmpty(PathBuf),
    /// The data cannot be used.
    #[error("{what}, line {line}: {why}")]
    Data {
        /// Which data.
        what: String,
        /// Where in it, from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// Somebody else listens there.
    #[error(
        "port {port} is taken ({source}); choose another --base-port, or leave it out and free ports are found"
    )]
    Port {
        /// The port.
        port: u16,
        /// Why.
        source: std::io::Error,
    },
    /// Not a port.
    #[error("--base-port {0} leaves no room for six ports; choose one below 65500")]
    BasePort(u16),
    /// The network between the nodes cannot be made.
    #[error("cannot listen on 127.0.0.1: {0}")]
    Listen(std::io::Error),
    /// The system does not tell us of signals.
    #[error("cannot listen to signals: {0}")]
    Signals(std::io::Error),
    /// A node cannot be started.
    #[error("cannot start node {}: {source}", name(*.node))]
    Start {
        /// Which.
        node: usize,
        /// Why.
        source: std::io::Error,
    },
    /// A node ended by itself.
    #[error("node {} ended by itself ({status})", name(*.node))]
    Died {
        /// Which.
        node: usize,
        /// How.
        status: String,
    },
    /// A node answered with an error, or not at all.
    #[error("node {}: {op}: {why}", name(*.node))]
    Node {
        /// Which.
        node: usize,
        /// What was asked.
        op: &'static str,
        /// What came back.
        why: String,
    },
    /// Something took too long.
    #[error("waited {} s for {what}: {seen}", .limit.as_secs())]
    Late {
        /// What was waited for.
        what: String,
        /// How long.
        limit: Duration,
        /// What there was instead.
        seen: String,
    },
    /// The user ended it.
    #[error("interrupted")]
    Interrupted,
}

fn name(node: usize) -> &'static str {
    NAMES.get(node).copied().unwrap_or("?")
}
