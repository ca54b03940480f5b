//! Without a log a write gets its stamp and enters memory in one breath; `stored_until` waits for who is in between.
//!
//! Held there by a metric, which is the whole process's: this file has one test.
#![allow(clippy::disallowed_methods)]

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use common::*;
use metrics::{Counter, CounterFn, Gauge, Histogram, Key, KeyName, Metadata, Recorder};
use metrics::{SharedString, Unit};
use parking_lot::{Condvar, Mutex};
use sync_engine::l3::ArchiveStore;
use sync_engine::l3::memory::MemoryArchive;

/// Counts nothing, and holds who counts a write, on command.
#[derive(Default)]
struct Turnstile {
    is_shut: Mutex<bool>,
    opened: Condvar,
    holds: AtomicBool,
}

static TURNSTILE: LazyLock<Arc<Turnstile>> = LazyLock::new(Arc::default);

impl CounterFn for Turnstile {
    fn increment(&self, _: u64) {
        let mut is_shut = self.is_shut.lock();
        while *is_shut {
            self.holds.store(true, Ordering::SeqCst);
            self.opened.wait(&mut is_shut);
        }
    }
    fn absolute(&self, _: u64) {}
}

struct Gate;

impl Recorder for Gate {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        match key.name() {
            "sync_engine_writes_total" => Counter::from_arc(TURNSTILE.clone()),
            _ => Counter::noop(),
        }
    }
    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }
    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_write_that_has_its_stamp_and_is_not_in_memory_yet_is_waited_for() {
    metrics::set_global_recorder(Gate).expect("the only one");
    let (dir, archive) = (tempfile::tempdir().unwrap(), Arc::new(MemoryArchive::new()));
    let config = unhurried(config_without_wal(dir.path()));
    let engine = started_on(config, archive.clone()).await;
    *TURNSTILE.is_shut.lock() = true;
    let early = {
        let engine = engine.clone();
        tokio::spawn(async move { engine.submit(item("early", "x")).await })
    };
    eventually("the writer is held", async || {
        TURNSTILE.holds.load(Ordering::SeqCst)
    })
    .await;
    let told = {
        let (engine, archive) = (engine.clone(), archive.clone());
        tokio::spawn(async move {
            let time = engine.stored_until().await.unwrap();
            (time, archive.leaves_of(&["early".into()]).await.unwrap()[0])
        })
    };
    tokio::time::sleep(Duration::from_millis(200)).await;
    let is_told = told.is_finished();
    *TURNSTILE.is_shut.lock() = false;
    TURNSTILE.opened.notify_all();
    assert!(!is_told, "a write on its way is not waited for");
    let stamp = early.await.unwrap().unwrap();
    let (time, leaf) = told.await.unwrap();
    assert!(stamp.time < time);
    assert_eq!(leaf.map(|leaf| leaf.stamp), Some(stamp));
    engine.shutdown().await;
}
