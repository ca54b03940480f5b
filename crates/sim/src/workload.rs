//! Callers of one node: they write, delete and read, and tell the oracle.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use sync_engine::item::hash::ContentHash;
use sync_engine::item::key::Key;
use sync_engine::item::stamp::{Origin, Stamp};
use sync_engine::{SubmitOptions, SyncItem};

use crate::log::Log;
use crate::node::Life;
use crate::oracle::{Oracle, Try};

/// What the callers of all nodes share.
#[derive(Clone)]
pub struct Workload {
    /// Where it is written down.
    pub log: Log,
    /// Who is told.
    pub oracle: Oracle,
    /// Keys that are written.
    pub keys: usize,
    /// Milliseconds between two writes of one writer, at the most.
    pub pause_ms: u64,
    /// Set when it is time to stop.
    pub is_over: Arc<AtomicBool>,
    /// Makes every content another one.
    pub count: Arc<AtomicU64>,
}

impl Workload {
    /// The name of one of the keys: some lie below paths, some do not.
    pub fn key(&self, number: usize) -> Key {
        match number % 3 {
            0 => format!("flat{number}").into(),
            1 => format!("uk.nhs.{}.{number}", number % 5).into(),
            _ => format!("uk.{number}").into(),
        }
    }

    /// One caller, until the workload or the life ends.
    pub async fn call(self, node: usize, life: Arc<Life>) {
        let mut rng = fastrand::Rng::with_seed(life.env.random());
        loop {
            let pause = Duration::from_millis(rng.u64(..=self.pause_ms));
            life.env.sleep(pause).await;
            if self.is_over.load(Ordering::SeqCst) {
                return;
            }
            let key = self.key(rng.usize(..self.keys));
            match rng.u8(..10) {
                0..=5 => self.put(node, &life, &key, &mut rng).await,
                6..=7 => self.delete(node, &life, &key).await,
                _ => {}
            }
            self.read(node, &life, &key).await;
        }
    }

    async fn put(&self, node: usize, life: &Life, key: &Key, rng: &mut fastrand::Rng) {
        let number = self.count.fetch_add(1, Ordering::SeqCst);
        let mut content = format!("{node}/{number}").into_bytes();
        content.resize(content.len() + rng.usize(..64), b'.');
        let expires_at = (rng.u8(..20) == 0).then(|| life.env.now_ms() + rng.i64(1..20_000));
        let hash = ContentHash::of(&content);
        let options = SubmitOptions {
            redis: rng.u8(..5) != 0,
            ..SubmitOptions::default()
        };
        let item = SyncItem::new(key.clone(), content)
            .with_expires_at(expires_at)
            .with_options(options);
        let what = Try::Put { hash, expires_at };
        let number = self.oracle.begin(key, what);
        match life.engine.submit(item).await {
            Ok(stamp) => {
                self.oracle.acknowledge(node, key, number, stamp);
                self.log.note(format_args!("n{node} put {key} at {stamp}"));
            }
            Err(error) => self.log.note(format_args!("n{node} put {key}: {error}")),
        }
    }

    async fn delete(&self, node: usize, life: &Life, key: &Key) {
        let floor = self.oracle.floor(node, key);
        self.oracle.begin(key, Try::Delete);
        let deleted = life.engine.delete(key).await;
        self.log
            .note(format_args!("n{node} delete {key}: {deleted:?}"));
        if !matches!(deleted, Ok(true)) {
            return;
        }
        // A delete gives no stamp; it is above what this node was known to have.
        if let Some(floor) = floor {
            let above = Stamp {
                time: floor.time.next(),
                origin: Origin::default(),
            };
            self.oracle.promise(node, key, above);
        }
    }

    async fn read(&self, node: usize, life: &Life, key: &Key) {
        let floor = self.oracle.floor(node, key);
        match life.engine.get(key).await {
            Err(_) => {}
            Ok(Some(item)) => self.oracle.on_item(node, key, floor, &item),
            Ok(None) => {
                let Some(floor) = floor else { return };
                let Ok(leaves) = life.engine.leaves_of(std::slice::from_ref(key)).await else {
                    return;
                };
                let leaf = leaves.first().copied().flatten();
                // A put may have come in between.
                let is_newer = leaf.is_some_and(|leaf| leaf.stamp > floor);
                let is_gone =
                    leaf.is_some_and(|leaf| self.oracle.is_gone(key, &leaf, life.env.now_ms()));
                if !is_newer && !is_gone {
                    self.oracle.violation(format!(
                        "I1/I13: node {node} says that {key} of {floor} is absent, and has {leaf:?}"
                    ));
                }
            }
        }
    }
}
