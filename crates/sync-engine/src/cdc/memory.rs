//! The change stream of a node without a Redis: kept in memory, read through the node's own Redis-protocol port.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use super::codec::Fields;
use super::event::Epoch;
pub use super::ring::Span;
use super::ring::{Caps, Entry, Ring};
use super::stream_id::StreamId;
use super::{ChangeLog, PublishError};
use crate::env::SharedEnv;
use crate::item::Stored;

/// A stream in memory, bounded in entries and in bytes; the oldest entries go first.
///
/// It does not survive the process: each one begins a new epoch, so that readers compare instead of trusting a cursor.
/// Ids come from the wall clock and only grow. An entry is encoded when it is first read, once for all readers.
pub struct MemoryLog {
    env: SharedEnv,
    ring: RwLock<Ring>,
    root: Mutex<Option<String>>,
    news: watch::Sender<StreamId>,
}

/// An entry as readers get it.
pub type ReadEntry = (StreamId, Arc<Fields>);

/// An entry that a reader holds, and shares with the stream as long as the stream has it. It stays for whoever holds it
/// when the stream has let go of it.
#[derive(Clone, Debug)]
pub struct HeldEntry(Arc<Entry>);

impl HeldEntry {
    /// Its id.
    pub fn id(&self) -> StreamId {
        self.0.id
    }

    /// Bytes that it may take, by the estimate of [`MemoryLog::bytes`].
    pub fn bytes(&self) -> usize {
        self.0.bytes
    }

    /// Its fields, encoded if nobody has asked before.
    pub fn fields(&self) -> Arc<Fields> {
        self.0.fields()
    }
}

impl MemoryLog {
    /// An empty stream that keeps at most `entries_max` entries (`cdc_stream_maxlen`) and `bytes_max` bytes.
    ///
    /// An entry larger than `bytes_max` is not kept; readers see the gap in the numbers.
    pub fn new(entries_max: usize, bytes_max: usize, env: SharedEnv) -> Self {
        let caps = Caps {
            entries_max,
            bytes_max,
        };
        let epoch = Epoch(env.random());
        Self {
            env,
            ring: RwLock::new(Ring::new(caps, epoch)),
            root: Mutex::new(None),
            news: watch::Sender::new(StreamId::MIN),
        }
    }

    /// The entries after `id`, oldest first: at most `count`, and no more once their wire form has `bytes_max` bytes.
    /// The first one is given whatever its size.
    pub fn read_after(&self, id: StreamId, count: usize, bytes_max: usize) -> Vec<ReadEntry> {
        let Some(start) = id.next() else {
            return Vec::new();
        };
        let span = Span {
            start,
            count,
            ..Span::ALL
        };
        let entries = self.ring.read().range(span, usize::MAX);
        let mut bytes = 0;
        let mut read = Vec::with_capacity(entries.len());
        for entry in entries {
            // Encoded outside the lock: a reader never holds up the publisher.
            let fields = entry.fields();
            bytes += wire_bytes(&fields);
            if bytes > bytes_max && !read.is_empty() {
                break;
            }
            read.push((entry.id, fields));
        }
        read
    }

    /// The entries of a span, and no more of them once they take `bytes_max`. The first one is given whatever its size.
    pub fn range(&self, span: Span, bytes_max: usize) -> Vec<HeldEntry> {
        let entries = self.ring.read().range(span, bytes_max);
        entries.into_iter().map(HeldEntry).collect()
    }

    /// The oldest id present.
    pub fn first_id(&self) -> Option<StreamId> {
        self.ring.read().first_id()
    }

    /// The greatest id ever given; [`StreamId::MIN`] before the first.
    pub fn last_id(&self) -> StreamId {
        self.ring.read().last_id()
    }

    /// The greatest id that was trimmed; [`StreamId::MIN`] when none was. A cursor below it has missed entries.
    pub fn max_deleted_id(&self) -> StreamId {
        self.ring.read().deleted_max()
    }

    /// How many entries were ever added.
    pub fn entries_added(&self) -> u64 {
        self.ring.read().added()
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.ring.read().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes held, by an estimate that is never too low: payloads, keys, and a fixed sum for each entry.
    pub fn bytes(&self) -> usize {
        self.ring.read().bytes()
    }

    /// The life this stream is in.
    pub fn epoch(&self) -> Epoch {
        self.ring.read().epoch()
    }

    /// The root that was published last.
    pub fn root(&self) -> Option<String> {
        self.root.lock().clone()
    }

    /// Follows [`MemoryLog::last_id`]: a blocking reader awaits a change instead of asking again and again.
    pub fn subscribe(&self) -> watch::Receiver<StreamId> {
        self.news.subscribe()
    }
}

fn wire_bytes(fields: &Fields) -> usize {
    fields
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum()
}

#[async_trait]
impl ChangeLog for MemoryLog {
    async fn publish(&self, changes: &[Stored]) -> Result<(), PublishError> {
        let now_ms = self.env.now_ms();
        let last_id = {
            let mut ring = self.ring.write();
            for stored in changes {
                ring.push(now_ms, stored.clone());
            }
            ring.last_id()
        };
        if !changes.is_empty() {
            self.news.send_modify(|seen| *seen = last_id.max(*seen));
        }
        Ok(())
    }

    async fn new_epoch(&self) {
        let random = self.env.random();
        self.ring.write().begin_epoch(random);
    }

    async fn publish_root(&self, root: &str) -> Result<(), PublishError> {
        *self.root.lock() = Some(root.to_owned());
        Ok(())
    }

    fn is_enabled(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::codec::{Limits, decode};
    use super::*;
    use crate::env::RealEnv;
    use crate::item::SyncItem;

    const LIMITS: Limits = Limits {
        payload_bytes_max: 1 << 20,
    };

    fn log(entries_max: usize, bytes_max: usize) -> MemoryLog {
        MemoryLog::new(entries_max, bytes_max, Arc::new(RealEnv::default()))
    }

    fn items(count: usize) -> Vec<Stored> {
        (0..count)
            .map(|n| Stored::Live(SyncItem::new(format!("k.{n}"), vec![0; 500])))
            .collect()
    }

    #[tokio::test]
    async fn entries_are_adjacent_in_order_and_numbered_without_gaps() {
        let log = log(1000, 1 << 20);
        log.publish(&items(5)).await.unwrap();
        log.publish(&items(3)).await.unwrap();
        let read = log.read_after(StreamId::MIN, usize::MAX, usize::MAX);
        for (index, (_, fields)) in read.iter().enumerate() {
            let event = decode(fields, LIMITS).unwrap();
            assert_eq!((event.seq, event.epoch), (index as u64 + 1, log.epoch()));
            assert_eq!(&**event.stored.key(), format!("k.{}", index % 5));
        }
        assert_eq!(read.len(), 8);
        assert!(read.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert_eq!(log.first_id(), Some(read[0].0));
        assert_eq!(log.last_id(), read[7].0);
        assert_eq!(log.read_after(read[4].0, 2, usize::MAX), read[5..7]);
        assert_eq!(log.read_after(read[4].0, 9, 0), read[5..6]);
        assert_eq!(log.read_after(StreamId::MAX, 9, 9), []);
        let ids = |span, bytes_max| -> Vec<StreamId> {
            let entries = log.range(span, bytes_max);
            entries.iter().map(HeldEntry::id).collect()
        };
        let some = Span {
            start: read[2].0,
            end: read[6].0,
            count: 2,
            rev: true,
        };
        assert_eq!(ids(some, usize::MAX), [read[6].0, read[5].0]);
        assert_eq!(ids(some, 1), [read[6].0]);
        let (start, end) = (read[6].0, read[2].0);
        assert!(ids(Span { start, end, ..some }, 9).is_empty());
        assert_eq!(log.range(Span::ALL, 0)[0].fields(), read[0].1);
    }

    #[tokio::test]
    async fn a_new_epoch_numbers_from_one() {
        let log = log(1000, 1 << 20);
        log.publish(&items(2)).await.unwrap();
        let before = log.epoch();
        log.new_epoch().await;
        assert_ne!(log.epoch(), before);
        log.publish(&items(1)).await.unwrap();
        let newest = log.range(Span::NEWEST, 0)[0].fields();
        let event = decode(&newest, LIMITS).unwrap();
        assert_eq!((event.seq, event.epoch), (1, log.epoch()));
    }

    #[tokio::test]
    async fn i8_the_oldest_entries_go_and_the_gap_shows() {
        let log = log(10, 1 << 20);
        log.publish(&items(25)).await.unwrap();
        assert_eq!((log.len(), log.entries_added()), (10, 25));
        assert!(log.max_deleted_id() < log.first_id().unwrap());
        let small = self::log(1000, 10_000);
        small.publish(&items(100)).await.unwrap();
        assert!(small.bytes() <= 10_000 && small.len() < 10);
        small
            .publish(&[Stored::Live(SyncItem::new("k", vec![0; 20_000]))])
            .await
            .unwrap();
        assert_eq!((small.len(), small.bytes()), (0, 0));
        assert_eq!(small.max_deleted_id(), small.last_id());
    }

    #[tokio::test]
    async fn a_waiting_reader_wakes() {
        let log = Arc::new(log(10, 1 << 20));
        let mut news = log.subscribe();
        let publisher = log.clone();
        let task = tokio::spawn(async move { publisher.publish(&items(1)).await });
        news.changed().await.unwrap();
        assert_eq!(*news.borrow(), log.last_id());
        assert_eq!(log.read_after(StreamId::MIN, 9, 9).len(), 1);
        task.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn the_root_is_the_last_one_published() {
        let log = log(10, 1 << 20);
        assert_eq!(log.root(), None);
        log.publish_root("a").await.unwrap();
        log.publish_root("b").await.unwrap();
        assert_eq!(log.root().as_deref(), Some("b"));
    }
}
