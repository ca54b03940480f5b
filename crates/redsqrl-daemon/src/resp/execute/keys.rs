//! Commands about whole keys.

use bytes::Bytes;
use sync_engine::Key;

use super::Executor;
use super::fault::Fault;
use super::values::Walk;
use crate::resp::special::Place;

/// Keys deleted with one wait for the log. Each is looked up first, to be counted.
const DELETES_AT_ONCE: usize = 256;

impl Executor<'_> {
    pub(super) async fn del(&mut self, keys: &[Bytes]) -> Result<(), Fault> {
        let place = |key: &Bytes| self.shared.place(key);
        if keys
            .iter()
            .any(|key| matches!(place(key), Place::Changes | Place::Root))
        {
            return Err(Fault::OwnKey);
        }
        let mut gone = 0;
        let mut ids = Vec::with_capacity(keys.len());
        for key in keys {
            match place(key) {
                Place::Mail => {
                    let removed = self.shared.streams.with(|store| store.remove(key))?;
                    gone += usize::from(removed);
                }
                // A key that cannot be stored is not there.
                _ => ids.extend(Key::parse(key)),
            }
        }
        ids.sort_unstable();
        ids.dedup();
        if !ids.is_empty() {
            let shared = self.shared.clone();
            let _held = shared
                .locks
                .shared(ids.iter().map(|id| id.as_bytes()))
                .await;
            let ids: Vec<&str> = ids.iter().map(Key::as_str).collect();
            let mut rest = ids.as_slice();
            while !rest.is_empty() {
                let part = rest.get(..DELETES_AT_ONCE).unwrap_or(rest);
                let (count, _room) = shared.reader.room_for(part).await?;
                let (part, later) = rest.split_at(count);
                rest = later;
                let existed = shared.engine.delete_many(part).await?;
                gone += existed.iter().filter(|existed| **existed).count();
            }
        }
        self.reply().count(gone);
        Ok(())
    }

    pub(super) async fn exists(&mut self, keys: &[Bytes]) -> Result<(), Fault> {
        let (items, special): (Vec<&Bytes>, Vec<&Bytes>) = keys
            .iter()
            .partition(|key| self.shared.place(key) == Place::Item);
        let is_there = |key: &&&Bytes| match self.shared.place(key) {
            Place::Root => self.shared.shows_root(),
            _ => self.is_stream(key),
        };
        let mut count = special.iter().filter(is_there).count();
        let mut walk = Walk::over(&items);
        while let Some(part) = walk.ahead() {
            let found = self.look(part).await?;
            walk.pass(&found);
            count += found.items.iter().flatten().count();
        }
        self.reply().count(count);
        Ok(())
    }

    pub(super) async fn kind(&mut self, key: &[u8]) -> Result<(), Fault> {
        let kind = match self.shared.place(key) {
            Place::Root if self.shared.shows_root() => "string",
            Place::Root => "none",
            Place::Changes | Place::Mail if self.is_stream(key) => "stream",
            Place::Changes | Place::Mail => "none",
            Place::Item => match self.item_of(key).await?.item {
                Some(_) => "string",
                None => "none",
            },
        };
        self.reply().simple(kind);
        Ok(())
    }
}
