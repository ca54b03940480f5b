//! Who is connected: CLIENT LIST.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

/// One connection, as others see it.
#[derive(Debug)]
pub(super) struct ClientCard {
    pub id: u64,
    addr: SocketAddr,
    /// Monotonic time of the connection's beginning.
    since: Duration,
    /// Monotonic milliseconds of its last batch of commands.
    active_ms: AtomicU64,
    words: Mutex<Words>,
}

/// What a client says of itself. Plain ASCII: the commands have seen to that.
#[derive(Debug, Clone, Default)]
pub(super) struct Words {
    pub name: Bytes,
    pub lib_name: Bytes,
    pub lib_version: Bytes,
}

impl ClientCard {
    pub(super) fn with_words<T>(&self, work: impl FnOnce(&mut Words) -> T) -> T {
        work(&mut self.words.lock())
    }

    /// Notes that the client is active now.
    pub(super) fn touch(&self, now: Duration) {
        self.active_ms.store(millis(now), Ordering::Relaxed);
    }

    /// One line, without its end.
    pub(super) fn line(&self, now: Duration) -> String {
        let words = self.words.lock().clone();
        let age = now.saturating_sub(self.since).as_secs();
        let active = self.active_ms.load(Ordering::Relaxed);
        let idle = millis(now).saturating_sub(active) / 1000;
        let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
        format!(
            "id={} addr={} name={} age={age} idle={idle} db=0 lib-name={} lib-ver={}",
            self.id,
            self.addr,
            text(&words.name),
            text(&words.lib_name),
            text(&words.lib_version)
        )
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// All connections, by number. As many as the server lets in.
#[derive(Debug, Default)]
pub(super) struct Clients {
    last_id: AtomicU64,
    cards: Mutex<BTreeMap<u64, Arc<ClientCard>>>,
}

impl Clients {
    /// Adds a connection.
    pub(super) fn enter(&self, addr: SocketAddr, now: Duration) -> Arc<ClientCard> {
        let card = Arc::new(ClientCard {
            id: self.last_id.fetch_add(1, Ordering::Relaxed) + 1,
            addr,
            since: now,
            active_ms: AtomicU64::new(millis(now)),
            words: Mutex::default(),
        });
        self.cards.lock().insert(card.id, Arc::clone(&card));
        card
    }

    /// Removes a connection.
    pub(super) fn leave(&self, id: u64) {
        self.cards.lock().remove(&id);
    }

    pub(super) fn len(&self) -> usize {
        self.cards.lock().len()
    }

    /// A line for each.
    pub(super) fn list(&self, now: Duration) -> String {
        let cards: Vec<Arc<ClientCard>> = self.cards.lock().values().cloned().collect();
        cards.iter().fold(String::new(), |mut list, card| {
            // Writing to a `String` cannot fail.
            writeln!(list, "{}", card.line(now)).ok();
            list
        })
    }
}
