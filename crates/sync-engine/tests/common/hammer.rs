//! Writers that each own some keys, and after every write demand to see it through every verb.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sync_engine::{ErrorKind, ItemStatus, StorageError, SyncEngine, SyncItem};

use super::chance;

/// What a writer may meet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    /// Every tier is up: nothing fails.
    Fair,
    /// Tiers come and go: a verb may fail as unavailable or overloaded, but never lie.
    Stormy,
}

/// Runs writers side by side; each makes `steps` steps. Gives how many verbs were answered.
pub async fn hammer(engine: &Arc<SyncEngine>, writers: u64, steps: u32, weather: Weather) -> usize {
    let mut tasks = Vec::new();
    for writer in 0..writers {
        let engine = engine.clone();
        tasks.push(tokio::spawn(async move {
            let mut hand = Hand::new(engine, writer, weather);
            for _ in 0..steps {
                hand.step().await;
            }
            hand.answered
        }));
    }
    let mut answered = 0;
    for task in tasks {
        answered += task.await.expect("no writer found a lie");
    }
    answered
}

struct Hand {
    engine: Arc<SyncEngine>,
    prefix: String,
    weather: Weather,
    chance: fastrand::Rng,
    /// What the keys hold; a key that is not here is absent.
    model: BTreeMap<String, Vec<u8>>,
    /// Whether the engine can be asked for what it stores by prefix.
    answered: usize,
}

const KEYS: u32 = 40;

/// Keeps the keys of one round from those of the next.
static ROUNDS: AtomicU64 = AtomicU64::new(0);

impl Hand {
    fn new(engine: Arc<SyncEngine>, writer: u64, weather: Weather) -> Self {
        Self {
            engine,
            prefix: format!(
                "hammer.r{}.w{writer:02}.",
                ROUNDS.fetch_add(1, Ordering::Relaxed)
            ),
            weather,
            chance: chance(writer + 1),
            model: BTreeMap::new(),
            answered: 0,
        }
    }

    /// The answer, if there was one. Only a storm excuses that there is none.
    fn answer<T>(&mut self, verb: &str, result: Result<T, StorageError>) -> Option<T> {
        match result {
            Ok(value) => {
                self.answered += 1;
                Some(value)
            }
            Err(error) => {
                let excused =
                    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Overloaded);
                assert!(
                    self.weather == Weather::Stormy && excused,
                    "{verb}: {error}"
                );
                None
            }
        }
    }

    fn key(&mut self) -> String {
        format!("{}{:02}", self.prefix, self.chance.u32(0..KEYS))
    }

    async fn step(&mut self) {
        let key = self.key();
        if self.chance.u32(0..100) < 70 {
            let content: Vec<u8> = (0..self.chance.usize(1..3000))
                .map(|_| self.chance.u8(..))
                .collect();
            let done = self
                .engine
                .submit(SyncItem::new(key.clone(), content.clone()))
                .await;
            if self.answer("submit", done).is_some() {
                self.model.insert(key.clone(), content);
            }
        } else {
            let done = self.engine.delete(&key).await;
            if let Some(existed) = self.answer("delete", done) {
                let has = self.model.remove(&key).is_some();
                assert!(existed || !has, "{key} was there and could not be deleted");
                assert!(
                    existed == has || self.weather == Weather::Stormy,
                    "{key}: {existed}"
                );
            }
        }
        self.look(&key).await;
        let other = self.key();
        self.look(&other).await;
        match self.chance.u32(0..20) {
            0 => self.look_at_many().await,
            1 => self.look_at_the_range().await,
            _ => {}
        }
    }

    fn assert_same(&self, verb: &str, key: &str, found: Option<&[u8]>) {
        let expected = self.model.get(key).map(Vec::as_slice);
        let brief = |bytes: Option<&[u8]>| bytes.map(|b| (b.len(), b.first().copied()));
        assert!(
            found == expected,
            "{verb} {key}: found {:?}, written {:?}",
            brief(found),
            brief(expected)
        );
    }

    async fn look(&mut self, key: &str) {
        let found = self.engine.get(key).await;
        if let Some(found) = self.answer("get", found) {
            self.assert_same("get", key, found.as_ref().map(|item| &item.content[..]));
        }
        let is_there = self.engine.contains(key).await;
        if let Some(is_there) = self.answer("contains", is_there) {
            assert_eq!(is_there, self.model.contains_key(key), "contains {key}");
        }
        if self.model.contains_key(key) {
            assert!(
                self.engine.contains_fast(key).expect("running"),
                "contains_fast {key}"
            );
        }
        let status = self.engine.status(key).await;
        match self.answer("status", status) {
            Some(ItemStatus::Missing) => assert!(!self.model.contains_key(key), "status {key}"),
            Some(ItemStatus::Synced { .. }) => {
                assert!(self.model.contains_key(key), "status {key}")
            }
            Some(ItemStatus::Pending) | None => {}
        }
    }

    async fn look_at_many(&mut self) {
        let keys: Vec<String> = (0..KEYS)
            .map(|n| format!("{}{n:02}", self.prefix))
            .collect();
        let ids: Vec<&str> = keys.iter().map(String::as_str).collect();
        let found = self.engine.get_many(&ids).await;
        let Some(found) = self.answer("get_many", found) else {
            return;
        };
        for (key, item) in keys.iter().zip(found) {
            self.assert_same("get_many", key, item.as_ref().map(|item| &item.content[..]));
        }
    }

    async fn look_at_the_range(&mut self) {
        let count = self.engine.count_prefix(&self.prefix).await;
        if let Some(count) = self.answer("count_prefix", count) {
            assert_eq!(
                count,
                self.model.len() as u64,
                "count_prefix {}",
                self.prefix
            );
        }
        let found = self.engine.scan_prefix(&self.prefix, 1_000).await;
        if let Some(found) = self.answer("scan_prefix", found) {
            let found: BTreeMap<String, Vec<u8>> = found
                .iter()
                .map(|item| (item.object_id.to_string(), item.content.to_vec()))
                .collect();
            assert!(
                found == self.model,
                "scan_prefix {}: {} found, {} written",
                self.prefix,
                found.len(),
                self.model.len()
            );
        }
    }
}
