//! The quick start, with the URLs of a private Redis and MariaDB put in.
//!
//! `cargo run -p sync-engine --example quick_start`

use serde_json::json;
use sync_engine::{CacheTtl, SubmitOptions, SyncEngine, SyncEngineConfig, SyncItem};
use testbed::{MariaDb, RedisServer};
use tokio::sync::watch;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let redis = RedisServer::start()?;
    let mariadb = MariaDb::start()?;
    let item = SyncItem::from_json("uk.nhs.session.678".into(), json!({"user": 12345}));

    let config = SyncEngineConfig {
        redis_url: Some(redis.url().into()),
        sql_url: Some(mariadb.url().into()),
        ..Default::default()
    };
    let (_tx, rx) = watch::channel(config.clone());
    let engine = SyncEngine::new(config, rx);
    engine.start().await.expect("Failed to start");
    engine
        .submit(SyncItem::from_json(
            "uk.nhs.patient.12345".into(),
            json!({"name": "John Doe"}),
        ))
        .await?;
    engine
        .submit_with(item, SubmitOptions::cache(CacheTtl::Hour))
        .await?;
    if let Some(item) = engine.get("uk.nhs.patient.12345").await.unwrap() {
        println!("{:?}", item.content_as_json());
    }
    engine.shutdown().await;
    Ok(())
}
