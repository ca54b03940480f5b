//! Commands about streams. Only keys of the node's own hold streams.

use std::future::ready;
use std::io;
use std::sync::Arc;

use super::Executor;
use super::fault::Fault;
use crate::resp::command::{XRange, XRead};
use crate::resp::mailbox::MAIL_AGE_MAX;
use crate::resp::special::Place;
use crate::resp::streams::{
    Append, Entry, StreamError, StreamId, StreamInfo, StreamSource, Trim, stream_reply,
};

/// What a command finds under a key.
enum Found {
    /// A stream kept here, behind the lock.
    Kept,
    /// A stream kept elsewhere.
    Served(Arc<dyn StreamSource>),
    Nothing,
}

impl Executor<'_> {
    pub(super) fn xadd(&mut self, append: &Append) -> Result<(), Fault> {
        match self.shared.place(&append.key) {
            Place::Item => return Err(Fault::NoStreamHere),
            Place::Root => return Err(Fault::WrongType),
            Place::Changes => return Err(StreamError::ReadOnly.into()),
            Place::Mail => {}
        }
        let now_ms = u64::try_from(self.shared.env().now_ms()).unwrap_or(0);
        // Ids only grow: one from the future would keep all later mail from being told from old mail, or from coming at all.
        let patience = u64::try_from(MAIL_AGE_MAX.as_millis()).unwrap_or(u64::MAX);
        if append
            .id
            .ms()
            .is_some_and(|ms| ms > now_ms.saturating_add(patience))
        {
            return Err(StreamError::IdFromFuture.into());
        }
        match self.shared.streams.add(append, now_ms)? {
            Some(id) => self.reply().bulk(id.to_string().as_bytes()),
            None => self.reply().null(),
        }
        Ok(())
    }

    pub(super) async fn xlen(&mut self, key: &[u8]) -> Result<(), Fault> {
        let len = match self.find(key).await? {
            Found::Served(source) => source.len(),
            Found::Kept => self.shared.streams.with(|store| {
                let stream = store.source(key);
                stream.map_or(0, StreamSource::len)
            }),
            Found::Nothing => 0,
        };
        self.reply().count(len);
        Ok(())
    }

    pub(super) async fn xrange(&mut self, range: &XRange) -> Result<(), Fault> {
        let found = self.find(&range.key).await?;
        if range.count == Some(0) && !matches!(found, Found::Nothing) {
            self.reply().null_array();
            return Ok(());
        }
        let read = |source: &dyn StreamSource| -> Vec<Entry> {
            let count = range.count.unwrap_or(usize::MAX);
            source.range(range.start, range.end, count, range.rev)
        };
        let entries = match found {
            Found::Served(source) => read(source.as_ref()),
            Found::Kept => self.shared.streams.with(|store| {
                let stream = store.source(&range.key);
                stream.map(read).unwrap_or_default()
            }),
            Found::Nothing => Vec::new(),
        };
        stream_reply::entries(&mut self.reply(), &entries);
        Ok(())
    }

    /// XREAD. One that has to wait is handed back.
    ///
    /// # Errors
    /// The client has gone.
    pub(super) async fn xread(&mut self, wanted: XRead) -> io::Result<Option<XRead>> {
        let refused = wanted.read.streams.iter().find_map(|(key, _)| {
            let place = self.shared.place(key);
            match place {
                Place::Item => Some(Fault::NoStreamHere),
                place if !place.holds_streams() => Some(Fault::WrongType),
                _ => None,
            }
        });
        if let Some(fault) = refused {
            self.fault(&fault);
            return Ok(None);
        }
        if wanted.block.is_some() {
            return Ok(Some(wanted));
        }
        let found = self.shared.streams.read(wanted.read, ready(())).await;
        stream_reply::read(&mut self.reply(), &found);
        Ok(None)
    }

    pub(super) async fn xdel(&mut self, key: &[u8], ids: &[StreamId]) -> Result<(), Fault> {
        let gone = match self.find(key).await? {
            Found::Nothing => 0,
            _ => self
                .shared
                .streams
                .with(|store| store.delete_entries(key, ids))?,
        };
        self.reply().count(gone);
        Ok(())
    }

    pub(super) async fn xtrim(&mut self, key: &[u8], trim: Trim) -> Result<(), Fault> {
        let gone = match self.find(key).await? {
            Found::Nothing => 0,
            _ => self.shared.streams.with(|store| store.trim(key, trim))?,
        };
        self.reply().count(gone);
        Ok(())
    }

    pub(super) async fn xinfo(&mut self, key: &[u8]) -> Result<(), Fault> {
        let info = match self.find(key).await? {
            Found::Served(source) => StreamInfo::of(source.as_ref()),
            Found::Kept => self.shared.streams.with(|store| store.info(key))?,
            Found::Nothing => return Err(StreamError::NoSuchKey.into()),
        };
        stream_reply::info(&mut self.reply(), &info);
        Ok(())
    }

    /// What is under the key; a string is of the wrong type.
    async fn find(&self, key: &[u8]) -> Result<Found, Fault> {
        match self.shared.place(key) {
            Place::Root => Err(Fault::WrongType),
            Place::Item => match self.item_of(key).await? {
                Some(_) => Err(Fault::WrongType),
                None => Ok(Found::Nothing),
            },
            Place::Changes | Place::Mail => {
                Ok(self
                    .shared
                    .streams
                    .with(|store| match (store.served(key), store.source(key)) {
                        (Some(source), _) => Found::Served(source),
                        (None, Some(_)) => Found::Kept,
                        (None, None) => Found::Nothing,
                    }))
            }
        }
    }
}
