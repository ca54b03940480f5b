//! Which settings can work.

use std::ops::RangeInclusive;

use super::{BackendUrl, SyncEngineConfig};
use crate::item::options::Ack;
use crate::limits::PAYLOAD_BYTES_CEILING;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// A setting that cannot work.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("`{field}` is {found}: expected {expected}")]
pub struct ConfigError {
    /// The setting's name.
    pub field: &'static str,
    /// What it is now, without any secret.
    pub found: String,
    /// What it may be.
    pub expected: String,
}

impl SyncEngineConfig {
    /// Checks every setting; gives the first that cannot work.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.check_urls()?;
        self.check_memory_and_batches()?;
        self.check_log_and_filter()?;
        self.check_servers_and_peers()?;
        self.check_shares()
    }

    fn check_urls(&self) -> Result<(), ConfigError> {
        let scheme = |url: &Option<BackendUrl>, field, allowed: &[&str]| match url {
            Some(url) if !allowed.iter().any(|s| url.expose().starts_with(s)) => Err(ConfigError {
                field,
                found: url.to_string(),
                expected: format!("a URL that begins with {}", allowed.join(" or ")),
            }),
            _ => Ok(()),
        };
        if let Some(url) = self.redis_url.as_ref().filter(|url| url.is_tls()) {
            return Err(ConfigError {
                field: "redis_url",
                found: url.to_string(),
                expected: BackendUrl::WITHOUT_TLS.into(),
            });
        }
        scheme(
            &self.redis_url,
            "redis_url",
            &["redis://", "redis+unix://", "unix://"],
        )?;
        scheme(
            &self.sql_url,
            "sql_url",
            &["sqlite:", "mysql://", "mariadb://"],
        )?;
        if self.ack == Some(Ack::Logged) && self.wal_path.is_none() {
            return Err(ConfigError {
                field: "ack",
                found: "logged".into(),
                expected: "queued or stored, or a wal_path".into(),
            });
        }
        if self.ack == Some(Ack::Stored) && self.sql_url.is_none() {
            return Err(ConfigError {
                field: "ack",
                found: "stored".into(),
                expected: "queued or logged, or a sql_url".into(),
            });
        }
        Ok(())
    }

    fn check_memory_and_batches(&self) -> Result<(), ConfigError> {
        let payload_max = PAYLOAD_BYTES_CEILING as u64;
        within(
            "l1_max_bytes",
            self.l1_max_bytes as u64,
            64 << 10..=u64::MAX,
        )?;
        within(
            "max_payload_bytes",
            self.max_payload_bytes as u64,
            1..=payload_max,
        )?;
        within("batch_flush_ms", self.batch_flush_ms, 1..=DAY_MS)?;
        within(
            "batch_flush_count",
            self.batch_flush_count as u64,
            1..=1_000_000,
        )?;
        within(
            "batch_flush_bytes",
            self.batch_flush_bytes as u64,
            1..=1 << 30,
        )
    }

    fn check_log_and_filter(&self) -> Result<(), ConfigError> {
        within(
            "wal_max_items",
            self.wal_max_items.unwrap_or(1),
            1..=u64::MAX,
        )?;
        within(
            "wal_drain_batch_size",
            self.wal_drain_batch_size as u64,
            1..=100_000,
        )?;
        within(
            "cuckoo_warmup_batch_size",
            self.cuckoo_warmup_batch_size as u64,
            1..=10_000_000,
        )?;
        within(
            "cf_snapshot_interval_secs",
            self.cf_snapshot_interval_secs,
            1..=DAY_MS,
        )
    }

    fn check_servers_and_peers(&self) -> Result<(), ConfigError> {
        within(
            "cdc_stream_maxlen",
            self.cdc_stream_maxlen as u64,
            1..=1 << 40,
        )?;
        within("redis_timeout_ms", self.redis_timeout_ms, 1..=DAY_MS)?;
        within(
            "redis_response_timeout_ms",
            self.redis_response_timeout_ms,
            1..=DAY_MS,
        )?;
        within(
            "sql_write_concurrency",
            self.sql_write_concurrency as u64,
            1..=256,
        )?;
        within("max_clock_drift_ms", self.max_clock_drift_ms, 1..=DAY_MS)
    }

    fn check_shares(&self) -> Result<(), ConfigError> {
        let in_order = |low: (&'static str, f64), high: (&'static str, f64)| {
            if low.1 > 0.0 && low.1 < high.1 && high.1 <= 1.0 {
                return Ok(());
            }
            Err(ConfigError {
                field: low.0,
                found: low.1.to_string(),
                expected: format!(
                    "above 0 and below {} ({}), which is at most 1",
                    high.0, high.1
                ),
            })
        };
        in_order(
            ("backpressure_warn", self.backpressure_warn),
            ("backpressure_critical", self.backpressure_critical),
        )?;
        in_order(
            ("redis_eviction_target", self.redis_eviction_target),
            ("redis_eviction_start", self.redis_eviction_start),
        )
    }
}

fn within(
    field: &'static str,
    value: u64,
    allowed: RangeInclusive<u64>,
) -> Result<(), ConfigError> {
    if allowed.contains(&value) {
        return Ok(());
    }
    Err(ConfigError {
        field,
        found: value.to_string(),
        expected: format!("{} to {}", allowed.start(), allowed.end()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_wrong_values_are_named() {
        assert_eq!(SyncEngineConfig::default().validate(), Ok(()));
        let wrong = SyncEngineConfig {
            sql_url: Some("oracle://scott:tiger@h/db".into()),
            ..Default::default()
        };
        let error = wrong.validate().unwrap_err();
        assert_eq!(error.field, "sql_url");
        assert!(!error.to_string().contains("tiger"), "{error}");
        let wrong = SyncEngineConfig {
            redis_url: Some("rediss://:tiger@h".into()),
            ..Default::default()
        };
        let error = wrong.validate().unwrap_err();
        assert_eq!(error.field, "redis_url");
        assert!(error.expected.contains("no TLS"), "{error}");
        assert!(!error.to_string().contains("tiger"), "{error}");
        let wrong = SyncEngineConfig {
            backpressure_warn: 0.95,
            ..Default::default()
        };
        assert_eq!(wrong.validate().unwrap_err().field, "backpressure_warn");
        let wrong = SyncEngineConfig {
            batch_flush_count: 0,
            ..Default::default()
        };
        assert_eq!(wrong.validate().unwrap_err().field, "batch_flush_count");
        let wrong = SyncEngineConfig {
            ack: Some(Ack::Logged),
            ..Default::default()
        };
        assert_eq!(wrong.validate().unwrap_err().field, "ack");
    }
}
