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
#[derive(Clone, Debug, Deserialize)]
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
        self
    }

    /// Checks what the text alone cannot show: values that do not go together.
    ///
    /// # Errors
    /// The first setting that cannot work, by its whole name.
    pub fn validate(&self) -> Result<(), ConfigFault> {
        let resolved = self.clone().resolved("unnamed");
        let engine = resolved.engine.validate();
        engine.map_err(|error| {
            ConfigFault::setting(
                format!("engine.{}", error.field),
                error.found,
                error.expected,
            )
        })?;
        self.check_names()?;
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

    fn check_names(&self) -> Result<(), ConfigFault> {
        let Some(node_id) = &self.node_id else {
            return Ok(());
        };
        if node_id.is_empty() || node_id.len() > 256 || node_id.chars().any(char::is_control) {
            let expected = "1 to 256 bytes without control characters";
            return Err(ConfigFault::setting(
                "node_id".into(),
                format!("{node_id:?}"),
                expected.into(),
            ));
        }
        match &self.engine.node_id {
            Some(other) if other != node_id => Err(ConfigFault::setting(
                "engine.node_id".into(),
                other.clone(),
                format!("the same as `node_id`, which is {node_id}; one of the two is enough"),
            )),
            _ => Ok(()),
        }
    }

    /// The name given in the settings, wherever it stands.
    #[must_use]
    pub fn given_node_id(&self) -> Option<&str> {
        self.node_id.as_deref().or(self.engine.node_id.as_deref())
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
