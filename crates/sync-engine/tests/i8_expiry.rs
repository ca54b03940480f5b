//! I8: taking expired items away takes memory for their keys, not for their payloads.
//!
//! Measured by the resident set, in a process of its own: this file has one test.
#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods)]

mod common;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use common::*;
use sync_engine::env::{Env, RealEnv, Task};
use sync_engine::l3::KeyRange;
use sync_engine::{SyncEngine, SyncEngineConfig, SyncItem};
use tokio::sync::watch;

const ITEMS: usize = 300;
const ITEM_BYTES: usize = 512 << 10;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// The real environment, a day later.
struct Tomorrow(RealEnv);

impl Env for Tomorrow {
    fn now_ms(&self) -> i64 {
        self.0.now_ms() + DAY_MS
    }
    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + 'static>> {
        self.0.sleep(duration)
    }
    fn spawn(&self, name: &'static str, task: Task) {
        self.0.spawn(name, task);
    }
    fn spawn_thread(
        &self,
        name: &'static str,
        work: Box<dyn FnOnce() + Send + 'static>,
    ) -> std::io::Result<()> {
        self.0.spawn_thread(name, work)
    }
    fn random(&self) -> u64 {
        self.0.random()
    }
}

/// A number of bytes out of `/proc/self/status`.
fn status_bytes(name: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc is mounted");
    let line = status.lines().find(|line| line.starts_with(name));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<usize>().ok());
    kib.expect("a number of kB") * 1024
}

/// The sweep read whole rows, a thousand at once: with large items as much as all of them together.
#[tokio::test(flavor = "multi_thread")]
async fn i8_the_sweep_of_expired_items_does_not_read_their_payloads() {
    let dir = tempfile::tempdir().unwrap();
    let config = SyncEngineConfig {
        l1_max_bytes: 8 << 20,
        ..config_without_wal(dir.path())
    };
    let first = started(config.clone()).await;
    let until = first.env().now_ms() + DAY_MS / 2;
    for n in 0..ITEMS {
        let item = SyncItem::new(format!("e.{n:03}"), vec![7; ITEM_BYTES]);
        let item = item.with_expires_at(Some(until));
        first.submit(item).await.unwrap();
    }
    first.shutdown().await;
    drop(first);
    std::fs::write("/proc/self/clear_refs", "5").expect("the peak can be begun anew");
    let before = status_bytes("VmRSS:");
    let (_, settings) = watch::channel(config.clone());
    let engine = SyncEngine::builder(config, settings)
        .with_env(Arc::new(Tomorrow(RealEnv::default())))
        .build();
    engine.start().await.unwrap();
    eventually("what expired is swept", async || {
        let rows = engine.scan_records(&KeyRange::all(), ITEMS, 1 << 20).await;
        let gone = rows.unwrap().into_iter().filter(|row| row.item().is_none());
        gone.count() == ITEMS
    })
    .await;
    let grown = status_bytes("VmHWM:").saturating_sub(before);
    // Of 150 MiB of payloads; the page caches of the archive's connections have 96 MiB.
    assert!(grown < 112 << 20, "{} MiB", grown >> 20);
    engine.shutdown().await;
}
