//! Settings of the parts, and what of them a running node can take.

use replication_engine::ReplicationConfig;
use sync_engine::SyncEngineConfig;

use crate::config::{HttpSettings, NodeConfig};
use crate::resp::shared::Password;
use crate::resp::{Limits, RespSettings, ServerLimits, StreamLimits};

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
        streams: StreamLimits::for_payload(config.engine.max_payload_bytes),
    }
}

/// Bytes that the change stream of a node without a Redis may hold, at least.
const CHANGES_BYTES_MIN: usize = 128 << 20;

/// Bytes that the change stream of a node without a Redis may hold. An entry that does not fit would not be kept.
pub(super) fn changes_bytes_max(payload_bytes_max: usize) -> usize {
    payload_bytes_max.saturating_mul(4).max(CHANGES_BYTES_MIN)
}

/// Settings that differ and that only a start reads, in whole or in part.
///
/// Destructured without `..`: whoever adds a setting must say here whether a running node takes it.
pub(super) fn needing_restart(old: &NodeConfig, new: &NodeConfig) -> Vec<&'static str> {
    let NodeConfig {
        node_id,
        dir,
        engine,
        replication,
        http: HttpSettings {
            listen: http,
            max_body: _, // Taken.
        },
        resp:
            crate::config::RespSettings {
                listen: resp,
                password,
                max_clients,
            },
        log,
    } = old;
    let mut differing = differing([
        ("node_id", *node_id != new.node_id),
        ("dir", *dir != new.dir),
        ("http.listen", *http != new.http.listen),
        ("resp.listen", *resp != new.resp.listen),
        ("resp.password", *password != new.resp.password),
        ("resp.max_clients", *max_clients != new.resp.max_clients),
        ("log", *log != new.log),
    ]);
    differing.extend(of_engine(engine, &new.engine));
    differing.extend(of_replication(replication, &new.replication));
    differing
}

fn differing<const N: usize>(settings: [(&'static str, bool); N]) -> Vec<&'static str> {
    let differing = settings.into_iter().filter(|(_, differs)| *differs);
    differing.map(|(name, _)| name).collect()
}

fn of_engine(old: &SyncEngineConfig, new: &SyncEngineConfig) -> Vec<&'static str> {
    let SyncEngineConfig {
        redis_url,
        redis_prefix,
        sql_url,
        node_id: _, // That of the node, by now.
        // Taken by the engine; the limits of the Redis-protocol port and of the streams in memory follow from it.
        max_payload_bytes,
        wal_path,
        wal_drain_batch_size,
        cuckoo_warmup_batch_size,
        merkle_calc_enabled,
        enable_cdc_stream,
        cdc_stream_maxlen,
        redis_timeout_ms,
        redis_response_timeout_ms,
        sql_write_concurrency,
        // Taken.
        ack: _,
        l1_max_bytes: _,
        batch_flush_ms: _,
        batch_flush_count: _,
        batch_flush_bytes: _,
        backpressure_warn: _,
        backpressure_critical: _,
        wal_max_items: _,
        cf_snapshot_interval_secs: _,
        cf_snapshot_insert_threshold: _,
        redis_eviction_enabled: _,
        redis_eviction_start: _,
        redis_eviction_target: _,
        merkle_calc_jitter_ms: _,
        max_clock_drift_ms: _,
    } = old;
    macro_rules! compared {
        ($($field:ident)*) => {
            differing([$((concat!("engine.", stringify!($field)), *$field != new.$field),)*])
        };
    }
    compared! {
        redis_url redis_prefix sql_url max_payload_bytes wal_path wal_drain_batch_size
        cuckoo_warmup_batch_size merkle_calc_enabled enable_cdc_stream cdc_stream_maxlen
        redis_timeout_ms redis_response_timeout_ms sql_write_concurrency
    }
}

fn of_replication(old: &ReplicationConfig, new: &ReplicationConfig) -> Vec<&'static str> {
    let ReplicationConfig {
        local_node_id: _, // That of the node, by now.
        peers: _,         // Taken, as `settings` are.
        settings: _,
        cursor,
        relay,
    } = old;
    differing([
        ("replication.cursor", *cursor != new.cursor),
        ("replication.relay", *relay != new.relay),
    ])
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

    #[test]
    fn every_setting_that_only_a_start_reads_is_named() {
        let old = NodeConfig::default();
        let mut new = old.clone();
        new.node_id = Some("other".into());
        new.engine = SyncEngineConfig {
            redis_prefix: Some("p:".into()),
            max_payload_bytes: 7,
            wal_drain_batch_size: 7,
            cuckoo_warmup_batch_size: 7,
            merkle_calc_enabled: false,
            enable_cdc_stream: true,
            cdc_stream_maxlen: 7,
            redis_timeout_ms: 7,
            redis_response_timeout_ms: 7,
            sql_write_concurrency: 7,
            ..old.engine.clone()
        };
        new.replication.relay = true;
        let named = needing_restart(&old, &new);
        assert_eq!(named.len(), 12, "{named:?}");
        // What the engine does not take while it runs is said to need a start.
        let taken = old.engine.with_live_of(new.engine.clone());
        new.engine = SyncEngineConfig {
            max_payload_bytes: old.engine.max_payload_bytes,
            ..taken
        };
        assert_eq!(
            needing_restart(&old, &new),
            ["node_id", "replication.relay"]
        );
    }

    #[test]
    fn i8_what_lies_in_memory_holds_several_of_the_largest_items() {
        let mut config = NodeConfig::default();
        assert_eq!(
            changes_bytes_max(config.engine.max_payload_bytes),
            128 << 20
        );
        config.engine.max_payload_bytes = 300 << 20;
        let payload = config.engine.max_payload_bytes;
        assert_eq!(changes_bytes_max(payload), 4 * payload);
        assert_eq!(resp(&config).streams.stream_bytes_max, 4 * payload);
    }
}
