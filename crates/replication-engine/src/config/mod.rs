//! The settings: values only, validated once. In YAML they sit under the key `replication`.

pub mod duration;

mod settings;

use serde::Deserialize;
use sync_engine::BackendUrl;
use sync_engine::cdc::keys::SpecialKeys;

pub use settings::{
    ColdPathSettings, CursorSettings, HotPathSettings, PeerHealthSettings, Settings, SloSettings,
};

use crate::limits::NODE_ID_BYTES_MAX;

/// Settings of one replication engine.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplicationConfig {
    /// This node's id. Must be the `node_id` of its sync-engine. Required, unless the program fills it in.
    #[serde(default)]
    pub local_node_id: String,
    /// The other nodes.
    #[serde(default)]
    pub peers: Vec<PeerConfig>,
    /// How the parts work.
    #[serde(default)]
    pub settings: Settings,
    /// Where cursors are kept. Not changed while running.
    #[serde(default)]
    pub cursor: CursorSettings,
    /// Whether what a peer sent is published again, for peers that cannot reach its origin (hub, chain and tree
    /// topologies). Default: false, for a full mesh. Not changed while running.
    #[serde(default)]
    pub relay: bool,
}

/// Another node.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerConfig {
    /// Its id.
    pub node_id: String,
    /// Its Redis, or its own Redis-protocol port: `redis://`. `rediss://` (TLS) is refused: this build has none.
    pub redis_url: BackendUrl,
    /// The `redis_prefix` of that node, when it has one. Default: none, so that its keys begin with `__local__:`.
    #[serde(default)]
    pub redis_prefix: Option<String>,
    /// Lower first, when several could do it. Default: 0.
    #[serde(default)]
    pub priority: i32,
    /// Failures in a row after which the peer is left alone for a while. Default: 5.
    #[serde(default = "default_failure_threshold")]
    pub circuit_failure_threshold: u32,
    /// For how long, in seconds. Default: 30.
    #[serde(default = "default_reset_timeout")]
    pub circuit_reset_timeout_sec: u64,
}

fn default_failure_threshold() -> u32 {
    5
}

fn default_reset_timeout() -> u64 {
    30
}

impl PeerConfig {
    /// Names the peer's change stream, without a password: the same settings name the same one.
    pub fn stream(&self) -> String {
        let keys = SpecialKeys::new(self.redis_prefix.as_deref());
        format!("{} {}", self.redis_url, keys.cdc())
    }

    /// A peer with defaults.
    pub fn for_testing(node_id: impl Into<String>, redis_url: impl Into<BackendUrl>) -> Self {
        Self {
            node_id: node_id.into(),
            redis_url: redis_url.into(),
            redis_prefix: None,
            priority: 0,
            circuit_failure_threshold: default_failure_threshold(),
            circuit_reset_timeout_sec: default_reset_timeout(),
        }
    }
}

/// A setting that cannot work. Never shows a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {found}: expected {expected}")]
pub struct ConfigError {
    /// The setting's name, with its path.
    pub field: String,
    /// What it is now.
    pub found: String,
    /// What it may be.
    pub expected: String,
}

impl ConfigError {
    pub(crate) fn new(
        field: impl Into<String>,
        found: impl ToString,
        expected: impl Into<String>,
    ) -> Self {
        Self {
            field: field.into(),
            found: found.to_string(),
            expected: expected.into(),
        }
    }
}

impl ReplicationConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// The first setting that cannot work.
    pub fn validate(&self) -> Result<(), ConfigError> {
        check_node_id("local_node_id", &self.local_node_id)?;
        for (at, peer) in self.peers.iter().enumerate() {
            let earlier = self.peers.iter().take(at);
            self.check_peer(at, peer, earlier)?;
        }
        check_numbers(&self.settings)
    }

    fn check_peer<'a>(
        &self,
        at: usize,
        peer: &PeerConfig,
        mut earlier: impl Iterator<Item = &'a PeerConfig>,
    ) -> Result<(), ConfigError> {
        let field = |name: &str| format!("peers[{at}].{name}");
        check_node_id(&field("node_id"), &peer.node_id)?;
        if peer.node_id == self.local_node_id {
            let expected = "the id of another node than local_node_id";
            return Err(ConfigError::new(field("node_id"), &peer.node_id, expected));
        }
        if earlier.any(|other| other.node_id == peer.node_id) {
            let expected = "an id that no other peer has";
            return Err(ConfigError::new(field("node_id"), &peer.node_id, expected));
        }
        if !peer.redis_url.expose().starts_with("redis://") {
            let expected = match peer.redis_url.is_tls() {
                true => BackendUrl::WITHOUT_TLS,
                false => "a URL that begins with redis://",
            };
            return Err(ConfigError::new(
                field("redis_url"),
                &peer.redis_url,
                expected,
            ));
        }
        let threshold = u64::from(peer.circuit_failure_threshold);
        check_range(&field("circuit_failure_threshold"), threshold, 1, 1_000_000)?;
        let reset = peer.circuit_reset_timeout_sec;
        check_range(&field("circuit_reset_timeout_sec"), reset, 1, DAY_SECS)
    }
}

const DAY_SECS: u64 = 24 * 60 * 60;

fn check_numbers(settings: &Settings) -> Result<(), ConfigError> {
    let hot = &settings.hot_path;
    let cold = &settings.cold_path;
    let health = &settings.peer_health;
    let slo = &settings.slo;
    let block_ms = u64::try_from(hot.block_timeout.as_millis()).unwrap_or(u64::MAX);
    let numbers: [(&str, u64, u64, u64); 16] = [
        ("hot_path.batch_size", hot.batch_size as u64, 1, 16_000),
        ("hot_path.block_timeout", block_ms, 1, 60_000),
        (
            "hot_path.min_batch_size",
            hot.min_batch_size as u64,
            1,
            16_000,
        ),
        (
            "hot_path.max_batch_size",
            hot.max_batch_size as u64,
            hot.min_batch_size as u64,
            16_000,
        ),
        (
            "hot_path.rate_limit_per_sec",
            hot.rate_limit_per_sec.into(),
            1,
            u64::MAX,
        ),
        (
            "hot_path.rate_limit_burst",
            hot.rate_limit_burst.into(),
            1,
            u64::MAX,
        ),
        ("cold_path.interval_sec", cold.interval_sec, 1, DAY_SECS),
        (
            "cold_path.max_items_per_cycle",
            cold.max_items_per_cycle as u64,
            1,
            1_000_000,
        ),
        (
            "cold_path.backoff_base_sec",
            cold.backoff_base_sec,
            1,
            DAY_SECS,
        ),
        (
            "cold_path.backoff_max_sec",
            cold.backoff_max_sec,
            cold.backoff_base_sec,
            DAY_SECS,
        ),
        (
            "peer_health.ping_interval_sec",
            health.ping_interval_sec,
            1,
            DAY_SECS,
        ),
        (
            "peer_health.idle_threshold_sec",
            health.idle_threshold_sec,
            0,
            DAY_SECS,
        ),
        (
            "slo.max_stream_read_latency_ms",
            slo.max_stream_read_latency_ms,
            1,
            u64::MAX,
        ),
        (
            "slo.max_peer_op_latency_ms",
            slo.max_peer_op_latency_ms,
            1,
            u64::MAX,
        ),
        (
            "slo.max_batch_flush_latency_ms",
            slo.max_batch_flush_latency_ms,
            1,
            u64::MAX,
        ),
        (
            "slo.max_replication_lag_sec",
            slo.max_replication_lag_sec,
            1,
            u64::MAX,
        ),
    ];
    for (field, value, least, most) in numbers {
        check_range(&format!("settings.{field}"), value, least, most)?;
    }
    Ok(())
}

fn check_range(field: &str, value: u64, least: u64, most: u64) -> Result<(), ConfigError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    let expected = match most {
        u64::MAX => format!("at least {least}"),
        _ => format!("{least} to {most}"),
    };
    Err(ConfigError::new(field, value, expected))
}

/// Ids become part of Redis keys and of metric labels.
fn check_node_id(field: &str, id: &str) -> Result<(), ConfigError> {
    match is_node_id(id) {
        true => Ok(()),
        false => Err(ConfigError::new(
            field,
            format!("{:?}", id.chars().take(64).collect::<String>()),
            format!("1 to {NODE_ID_BYTES_MAX} bytes without spaces and control characters"),
        )),
    }
}

/// Whether the text may be the id of a node: 1 to 256 bytes, no whitespace, no control characters.
pub fn is_node_id(id: &str) -> bool {
    !id.is_empty()
        && id.len() <= NODE_ID_BYTES_MAX
        && !id.chars().any(|c| c.is_control() || c.is_whitespace())
}

#[cfg(test)]
mod tests;
