//! The node's settings: one YAML file, changed by environment variables, then by the command line.
//!
//! It is not the place where anything is opened: it makes values out of text and says what is wrong with them.
//!
//! The rule: a key that nothing reads is an error, and no secret is ever shown.

mod error;

mod file;

mod overlay;

mod secret;

mod variables;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use replication_engine::ReplicationConfig;
use replication_engine::config::CursorSettings;
use serde::{Deserialize, Deserializer};
use sync_engine::SyncEngineConfig;

pub use error::ConfigFault;
pub use file::load;
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
    /// Longest request body in bytes. None: `engine.max_payload_bytes`.
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

impl NodeConfig {
    /// The same with everything that follows from other settings filled in, under the name `node_id`.
    #[must_use]
    pub fn resolved(mut self, node_id: &str) -> Self {
        self.node_id = Some(node_id.into());
        self.engine.node_id = Some(node_id.into());
        if self.engine.sql_url.is_none() {
            let file = self.dir.join("redsqrl.db");
            self.engine.sql_url = Some(format!("sqlite:{}", file.display()).into());
        }
        if self.engine.wal_path.is_none() {
            self.engine.wal_path = Some(self.dir.join("wal.db"));
        }
        self.replication.local_node_id = node_id.into();
        let cursors = CursorSettings::default().sqlite_path;
        if self.replication.cursor.sqlite_path == cursors {
            self.replication.cursor.sqlite_path = self.dir.join(cursors);
        }
        // A node with peers has somebody who follows its stream.
        self.engine.enable_cdc_stream |= !self.replication.peers.is_empty();
        self
    }

    /// Checks what the text alone cannot show: values that do not go together.
    ///
    /// # Errors
    /// The first setting that cannot work, by its whole name.
    pub fn validate(&self) -> Result<(), ConfigFault> {
        self.check_names()?;
        let resolved = self
            .clone()
            .resolved(self.given_node_id().unwrap_or("unnamed"));
        resolved.engine.validate().map_err(|error| {
            ConfigFault::setting(
                format!("engine.{}", error.field),
                error.found,
                error.expected,
            )
        })?;
        resolved.replication.validate().map_err(|error| {
            let name = match error.field.as_str() {
                "local_node_id" => "node_id".into(),
                field => format!("replication.{field}"),
            };
            ConfigFault::setting(name, error.found, error.expected)
        })?;
        let least = |name: &str, value: usize| match value {
            0 => Err(ConfigFault::setting(
                name.into(),
                "0".into(),
                "at least 1".into(),
            )),
            _ => Ok(()),
        };
        least("resp.max_clients", self.resp.max_clients)?;
        least("http.max_body", self.http.max_body.unwrap_or(1))?;
        crate::telemetry::filter(&self.log.level).map_err(|expected| {
            ConfigFault::setting("log.level".into(), self.log.level.clone(), expected)
        })?;
        Ok(())
    }

    /// The name may be given in three places, and is one.
    fn check_names(&self) -> Result<(), ConfigFault> {
        let names = self.names();
        let mut given = names
            .iter()
            .filter_map(|(place, name)| name.map(|name| (place, name)));
        let Some((first, name)) = given.next() else {
            return Ok(());
        };
        match given.find(|(_, other)| *other != name) {
            None => Ok(()),
            Some((place, other)) => Err(ConfigFault::setting(
                (*place).into(),
                other.into(),
                format!("the same as `{first}`, which is {name}; one of the two is enough"),
            )),
        }
    }

    fn names(&self) -> [(&'static str, Option<&str>); 3] {
        let local = self.replication.local_node_id.as_str();
        [
            ("node_id", self.node_id.as_deref()),
            ("engine.node_id", self.engine.node_id.as_deref()),
            (
                "replication.local_node_id",
                Some(local).filter(|local| !local.is_empty()),
            ),
        ]
    }

    /// The name given in the settings, wherever it stands.
    #[must_use]
    pub fn given_node_id(&self) -> Option<&str> {
        self.names().into_iter().find_map(|(_, name)| name)
    }

    /// Longest HTTP body, in bytes.
    #[must_use]
    pub fn max_body(&self) -> usize {
        let payload = self.engine.max_payload_bytes;
        self.http.max_body.map_or(payload, |max| max.min(payload))
    }

    /// Replaces `${file:PATH}` in every setting that may hold a secret by what the file holds.
    fn read_secrets(&mut self, base: &Path) -> Result<(), ConfigFault> {
        for (name, url) in [
            ("engine.redis_url", &mut self.engine.redis_url),
            ("engine.sql_url", &mut self.engine.sql_url),
        ] {
            if let Some(url) = url {
                *url = secret::expand(url.expose(), name, base)?.into();
            }
        }
        for (at, peer) in self.replication.peers.iter_mut().enumerate() {
            let name = format!("replication.peers[{at}].redis_url");
            peer.redis_url = secret::expand(peer.redis_url.expose(), &name, base)?.into();
        }
        if let Some(password) = &mut self.resp.password {
            *password = secret::expand(password.expose(), "resp.password", base)?.into();
        }
        Ok(())
    }
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
