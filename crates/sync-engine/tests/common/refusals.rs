//! Rows that the archive refuses.

use sync_engine::SyncEngine;

/// So many keys.
pub fn ids(name: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{name}.{n:03}")).collect()
}

/// Which rows the engine says were refused.
pub async fn refused_keys(engine: &SyncEngine) -> Vec<String> {
    let health = engine.health_check().await;
    assert_eq!(health.is_healthy(), health.refused_rows == 0, "{health:?}");
    let named = health.refused.iter().map(|row| row.key.to_string());
    named.collect()
}
