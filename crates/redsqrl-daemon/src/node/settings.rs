//! Settings of the parts, and what of them a running node can take.

use crate::config::NodeConfig;
use crate::resp::shared::Password;
use crate::resp::{Limits, RespSettings, ServerLimits};

/// The settings of the Redis-protocol face.
pub(super) fn resp(config: &NodeConfig) -> RespSettings {
    let password = config.resp.password.as_ref();
    RespSettings {
        password: password.map(|password| Password::new(password.expose())),
        limits: ServerLimits {
            request: Limits::for_payload(config.engine.max_payload_bytes),
            clients_max: config.resp.max_clients,
            ..ServerLimits::default()
        },
        node_id: config.node_id.clone().unwrap_or_default(),
        ..RespSettings::default()
    }
}

/// Settings that differ and that only a start reads.
pub(super) fn needing_restart(old: &NodeConfig, new: &NodeConfig) -> Vec<&'static str> {
    let (engine, new_engine) = (&old.engine, &new.engine);
    let differs = [
        ("dir", old.dir != new.dir),
        ("http.listen", old.http.listen != new.http.listen),
        ("resp.listen", old.resp.listen != new.resp.listen),
        ("resp.password", old.resp.password != new.resp.password),
        (
            "resp.max_clients",
            old.resp.max_clients != new.resp.max_clients,
        ),
        ("log", old.log != new.log),
        ("engine.redis_url", engine.redis_url != new_engine.redis_url),
        (
            "engine.redis_prefix",
            engine.redis_prefix != new_engine.redis_prefix,
        ),
        ("engine.sql_url", engine.sql_url != new_engine.sql_url),
        ("engine.wal_path", engine.wal_path != new_engine.wal_path),
        (
            "engine.enable_cdc_stream",
            engine.enable_cdc_stream != new_engine.enable_cdc_stream,
        ),
        (
            "replication.cursor",
            old.replication.cursor != new.replication.cursor,
        ),
        (
            "replication.relay",
            old.replication.relay != new.replication.relay,
        ),
    ];
    let differing = differs.into_iter().filter(|(_, differs)| *differs);
    differing.map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    #[test]
    fn what_needs_a_restart_is_named() {
        let old = NodeConfig::default();
        let mut new = old.clone();
        assert!(needing_restart(&old, &new).is_empty());
        new.dir = "elsewhere".into();
        new.engine.sql_url = Some("sqlite:other.db".into());
        new.engine.batch_flush_ms = 1;
        new.resp.password = Some(Secret::from("x".to_string()));
        let expected = ["dir", "resp.password", "engine.sql_url"];
        assert_eq!(needing_restart(&old, &new), expected);
    }
}
