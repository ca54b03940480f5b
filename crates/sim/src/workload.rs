//! Callers of one node: they write, delete and read, and tell the oracle.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use sync_engine::item::hash::ContentHash;
use sync_engine::item::key::Key;
use sync_engine::item::options::CacheTtl;
use sync_engine::{SubmitOptions, SyncItem};

use crate::log::Log;
use crate::node::Life;
use crate::oracle::{Oracle, Try};
use crate::private::{self, Deed, Private};

/// What the callers of all nodes share.
#[derive(Clone)]
pub struct Workload {
    /// Where it is written down.
    pub log: Log,
    /// Who is told.
    pub oracle: Oracle,
    /// Who is told of what a node alone keeps.
    pub private: Private,
    /// Keys that are written.
    pub keys: usize,
    /// Bytes of a content, about, at the most.
    pub content_max: usize,
    /// Milliseconds between two writes of one writer, at the most.
    pub pause_ms: u64,
    /// Set when nobody writes any more.
    pub is_quiet: Arc<AtomicBool>,
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
            let number = rng.usize(..self.keys);
            let is_own = life.has_cache && rng.u8(..6) == 0;
            if life.replication.is_none() || is_own {
                self.call_own(node, &life, number, &mut rng).await;
                continue;
            }
            let key = self.key(number);
            match rng.u8(..10) {
                _ if self.is_quiet.load(Ordering::SeqCst) => {}
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
        content.resize(content.len() + rng.usize(..self.content_max), b'.');
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
        let number = self.oracle.begin(node, key, what);
        match life.engine.submit(item).await {
            Ok(stamp) => {
                self.oracle.acknowledge(node, key, number, stamp);
                self.log.note(format_args!("n{node} put {key} at {stamp}"));
            }
            Err(error) => self.log.note(format_args!("n{node} put {key}: {error}")),
        }
    }

    async fn delete(&self, node: usize, life: &Life, key: &Key) {
        let number = self.oracle.begin(node, key, Try::Delete);
        let deleted = life.engine.delete_stamped(key).await;
        self.log
            .note(format_args!("n{node} delete {key}: {deleted:?}"));
        if let Ok(Some(stamp)) = deleted {
            self.oracle.acknowledge(node, key, number, stamp);
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

    /// One write and one read of a key that this node alone keeps.
    async fn call_own(&self, node: usize, life: &Life, number: usize, rng: &mut fastrand::Rng) {
        let key: Key = format!("{}{number}", private::prefix(node)).into();
        match rng.u8(..10) {
            _ if self.is_quiet.load(Ordering::SeqCst) => {}
            0..=5 => self.put_own(node, life, &key, rng).await,
            // With SQL a delete is archived, and the other nodes send it back, whatever was put meanwhile.
            6 => {
                let number = self.private.begin(&key, Deed::Delete);
                let deleted = life.engine.delete_stamped(&key).await;
                self.log
                    .note(format_args!("n{node} delete {key}: {deleted:?}"));
                if let Ok(Some(stamp)) = deleted {
                    self.private.acknowledge(&key, number, stamp);
                }
            }
            _ => {}
        }
        self.read_own(life, &key).await;
    }

    async fn put_own(&self, node: usize, life: &Life, key: &Key, rng: &mut fastrand::Rng) {
        let number = self.count.fetch_add(1, Ordering::SeqCst);
        let mut content = format!("{node}/{number}").into_bytes();
        content.resize(content.len() + rng.usize(..self.content_max), b'.');
        let secs = rng.bool().then(|| rng.u64(1..20));
        let hash = ContentHash::of(&content);
        let options = match secs {
            Some(secs) => SubmitOptions::cache(CacheTtl::custom_secs(secs)),
            None => SubmitOptions {
                sql: false,
                ..SubmitOptions::default()
            },
        };
        let item = SyncItem::new(key.clone(), content).with_options(options);
        let lives_ms = secs.map(|secs| i64::try_from(secs * 1_000).unwrap_or(i64::MAX));
        let number = self.private.begin(key, Deed::Put { hash, lives_ms });
        match life.engine.submit(item).await {
            Ok(stamp) => {
                self.private.acknowledge(key, number, stamp);
                self.log.note(format_args!("n{node} put {key} at {stamp}"));
            }
            Err(error) => self.log.note(format_args!("n{node} put {key}: {error}")),
        }
    }

    /// Reads a key that this node alone keeps; false: it could not be read.
    pub(crate) async fn read_own(&self, life: &Life, key: &Key) -> bool {
        let (floor, began_ms) = (self.private.floor(key), life.env.now_ms());
        match life.engine.get(key).await {
            Ok(item) => {
                self.private.on_read(key, floor, item.as_ref(), began_ms);
                true
            }
            Err(_) => false,
        }
    }
}
