//! The port of a node (SQLite and a write-ahead log on disk) beside a plain redis-server, in the
//! same minute, by redis-benchmark with 50 clients.
//!
//! What is compared is not the same: this node's SET is on disk, fsynced, before it is answered.

#![allow(clippy::disallowed_methods, reason = "a bench lives in real time")]

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use redsqrl_daemon::resp::{RespServer, RespSettings, RespShared};
use sync_engine::SyncEngineConfig;
use sync_engine::cdc::keys::SpecialKeys;
use sync_engine::engine::SyncEngine;
use tokio::sync::watch;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(measure())
}

async fn measure() -> Outcome {
    let redis = testbed::RedisServer::start()?;
    let dir = tempfile::tempdir()?;
    for log in [true, false] {
        let name = if log { "logged" } else { "queued" };
        let sql = dir.path().join(format!("{name}.db"));
        let config = SyncEngineConfig {
            sql_url: Some(format!("sqlite:{}", sql.display()).as_str().into()),
            wal_path: log.then(|| dir.path().join("wal.db")),
            ..Default::default()
        };
        let (_, live) = watch::channel(config.clone());
        let engine = Arc::new(SyncEngine::new(config, live));
        engine.start().await?;
        let settings = RespSettings::default();
        let shared = RespShared::new(
            engine.clone(),
            SpecialKeys::new(None),
            None,
            Arc::default(),
            settings,
        );
        let server = RespServer::bind("127.0.0.1:0".parse()?, Arc::new(shared))?;
        for pipeline in ["1", "16"] {
            benchmark(&format!("redsqrl, {name}"), server.addr().port(), pipeline).await?;
            benchmark("redis-server", redis.port(), pipeline).await?;
        }
        server.stop(Duration::from_secs(10)).await?;
        engine.shutdown().await;
    }
    Ok(())
}

async fn benchmark(name: &str, port: u16, pipeline: &str) -> Outcome {
    let count = if pipeline == "1" { "100000" } else { "400000" };
    let mut command = Command::new("redis-benchmark");
    command.args(["-p", &port.to_string(), "-t", "set,get", "-n", count]);
    command.args(["-P", pipeline, "-c", "50", "-r", "100000", "-d", "64", "-q"]);
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    println!("{name}, -P {pipeline}");
    let figures = String::from_utf8_lossy(&output.stdout).replace('\r', "\n");
    let lines = figures.lines().filter(|line| line.contains("p50"));
    lines.for_each(|line| println!("    {line}"));
    Ok(())
}
