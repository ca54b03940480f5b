//! Logs on stderr, and the metrics that `/metrics` shows.

use std::str::FromStr;
use std::sync::OnceLock;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::config::{LogFormat, LogSettings};

/// Upper bounds of the buckets of every `…_seconds` histogram, in seconds.
const SECONDS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];

/// The filter that a `log.level` stands for.
///
/// # Errors
/// What was expected.
pub fn filter(level: &str) -> Result<Targets, String> {
    let expected =
        "error, warn, info, debug, trace or off, or a list such as info,sync_engine=debug";
    let is_level =
        |part: &str| !part.is_empty() && tracing::metadata::LevelFilter::from_str(part).is_ok();
    // A bare word that is no level would be taken for a target, and everything else would be silent.
    if !level
        .split(',')
        .map(str::trim)
        .all(|part| part.contains('=') || is_level(part))
    {
        return Err(expected.into());
    }
    Targets::from_str(level).map_err(|_| expected.into())
}

/// Begins logging. A second call in one process does nothing.
///
/// # Errors
/// The level cannot be understood.
pub fn begin_logging(settings: &LogSettings) -> Result<(), String> {
    use std::io::IsTerminal;
    let lines = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let layer = match settings.format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    let registry = tracing_subscriber::registry().with(layer.with_filter(filter(&settings.level)?));
    // Fails only if somebody logs already.
    registry.try_init().ok();
    Ok(())
}

/// What the process has counted, for Prometheus. The recorder is the process's own: two nodes in one process share it.
#[must_use]
pub fn metrics() -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(recorder).clone()
}

fn recorder() -> PrometheusHandle {
    let builder = PrometheusBuilder::new();
    let seconds = Matcher::Suffix("_seconds".into());
    // Fails for an empty list only.
    let builder = builder
        .set_buckets_for_metric(seconds, SECONDS)
        .unwrap_or_else(|_| PrometheusBuilder::new());
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    if metrics::set_global_recorder(recorder).is_err() {
        tracing::warn!("another recorder is installed; /metrics shows nothing");
    }
    handle
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_lists_are_understood_and_words_are_not() {
        for good in [
            "info",
            "off",
            "debug",
            "INFO",
            "info,sync_engine=debug",
            "warn, redsqrl_daemon=trace",
        ] {
            assert!(filter(good).is_ok(), "{good}");
        }
        for bad in ["loud", "", "info,loud", "sync_engine=loud"] {
            assert!(filter(bad).is_err(), "{bad}");
        }
    }
}
