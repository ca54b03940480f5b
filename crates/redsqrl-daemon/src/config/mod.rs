//! The node's settings: one YAML file, changed by environment variables, then by the command line.
//!
//! It is not the place where anything is opened: it makes values out of text and says what is wrong with them.
//!
//! The rule: a key that nothing reads is an error, and no secret is ever shown.

mod error;

mod file;

mod overlay;

mod resolve;

mod section;

mod leaf;

mod secret;

mod variables;

use std::net::SocketAddr;
use std::path::PathBuf;

use replication_engine::ReplicationConfig;
use serde::{Deserialize, Deserializer};
use sync_engine::SyncEngineConfig;

pub use error::ConfigFault;
pub use file::{load, parse};
pub use secret::Secret;
pub use variables::Variables;

/// Where HTTP listens unless told otherwise.
pub const HTTP_LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 7380);

/// Where the Redis protocol is spoken unless told otherwise.
pub const RESP_LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 7379);

/// Settings of one node. Every key has a default; `redsqrl serve` needs no file.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NodeConfig {
    /// The node's name in the mesh. None: a random one, kept in `dir`.
    pub node_id: Option<String>,
    /// The data directory. Default: `./redsqrl-data`.
    pub dir: PathBuf,
    /// Storage. `sql_url` and `wal_path` default to files in `dir`.
    pub engine: SyncEngineConfig,
    /// The other nodes. With peers the change stream is on, and `local_node_id` is `node_id`.
    pub replication: ReplicationConfig,
    /// The HTTP face.
    pub http: HttpSettings,
    /// The Redis-protocol face.
    pub resp: RespSettings,
    /// What is logged, and how.
    pub log: LogSettings,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            node_id: None,
            dir: "redsqrl-data".into(),
            engine: SyncEngineConfig::default(),
            replication: ReplicationConfig::default(),
            http: HttpSettings::default(),
            resp: RespSettings::default(),
            log: LogSettings::default(),
        }
    }
}

/// The HTTP face.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpSettings {
    /// Address and port. Default: `127.0.0.1:7380`. There is no password: open it to a network that you trust.
    #[serde(deserialize_with = "listen")]
    pub listen: SocketAddr,
    /// Longest request body in bytes; never more than `engine.max_payload_bytes`. None: just that.
    pub max_body: Option<usize>,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            listen: HTTP_LISTEN,
            max_body: None,
        }
    }
}

/// The Redis-protocol face.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RespSettings {
    /// Address and port. Default: `127.0.0.1:7379`.
    #[serde(deserialize_with = "listen")]
    pub listen: SocketAddr,
    /// Asked of every client. None: nobody is asked.
    pub password: Option<Secret>,
    /// Most clients at once. Default: 10000.
    pub max_clients: usize,
}

impl Default for RespSettings {
    fn default() -> Self {
        Self {
            listen: RESP_LISTEN,
            password: None,
            max_clients: 10_000,
        }
    }
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// `error`, `warn`, `info`, `debug` or `trace`; or a list such as `info,sync_engine=debug`. Default: `info`.
    pub level: String,
    /// Text for people, or JSON for machines. Default: `text`.
    pub format: LogFormat,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            level: "info".into(),
            format: LogFormat::Text,
        }
    }
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// An address to listen on. `localhost` is understood; other names are not, because they may mean several addresses.
///
/// # Errors
/// What was expected.
pub fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    let numeric = text
        .strip_prefix("localhost:")
        .map(|port| format!("127.0.0.1:{port}"));
    let numeric = numeric.as_deref().unwrap_or(text);
    let expected = || {
        format!(
            "`{text}` is not an address with a port: expected one such as 127.0.0.1:7380 or [::1]:7380"
        )
    };
    numeric.parse().map_err(|_| expected())
}

fn listen<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_listen(&text).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests;
