//! Commands about streams. Only keys of the node's own hold streams.

use std::io;

use super::Executor;
use super::fault::Fault;
use crate::budget::Held;
use crate::limits::PORTION_BYTES;
use crate::resp::command::{XRange, XRead};
use crate::resp::mailbox::MAIL_AGE_MAX;
use crate::resp::special::Place;
use crate::resp::streams::{
    Append, Read, ReadResult, Run, Span, StreamError, StreamId, StreamInfo, StreamSource, Trim,
    stream_reply,
};

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
        let len = match self.holds_stream(key).await? {
            true => self.with_stream(key, |stream| stream.len()).unwrap_or(0),
            false => 0,
        };
        self.reply().count(len);
        Ok(())
    }

    /// XRANGE and XREVRANGE: the entries as they are now, however long the client takes to read
    /// them; all of them, or an error.
    pub(super) async fn xrange(&mut self, range: &XRange) -> Result<(), Fault> {
        let is_there = self.holds_stream(&range.key).await?;
        if range.count == Some(0) && is_there {
            self.reply().null_array();
            return Ok(());
        }
        let span = Span {
            start: range.start,
            end: range.end,
            count: range.count.unwrap_or(usize::MAX),
            rev: range.rev,
        };
        let shared = self.shared.clone();
        let read = |_| {
            let run = self.with_stream(&range.key, |stream| stream.range(span, usize::MAX));
            let run = run.unwrap_or_else(Run::empty);
            let bytes = run.bytes();
            (run, bytes)
        };
        let (run, mut room) = shared.budget.replies.fit(0, read).await?;
        self.output.holds(room.as_ref());
        self.reply().array(run.len());
        let left = |bytes| room.iter_mut().for_each(|room| room.shrink_to(bytes));
        Ok(self.send_run(run, left).await?)
    }

    /// Sends entries one by one; `left` is told after each what the others keep.
    async fn send_run(&mut self, mut run: Run, mut left: impl FnMut(usize)) -> io::Result<()> {
        while let Some(entry) = run.next() {
            stream_reply::entry(&mut self.reply(), &entry);
            drop(entry);
            self.output.relieve().await?;
            left(run.bytes());
        }
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
        let read = self.shared.streams.resolve(wanted.read);
        if !self.answer_read(&read).await? {
            self.reply().null_array();
        }
        Ok(None)
    }

    /// Answers an XREAD of streams without `$`; `false`: there is nothing to be read, and no answer.
    ///
    /// # Errors
    /// The client has gone.
    pub(in crate::resp) async fn answer_read(&mut self, read: &Read) -> io::Result<bool> {
        let done = self.read_streams(read).await;
        let is_answered = !matches!(done, Ok(false));
        self.answered(done.map(|_| ()))?;
        Ok(is_answered)
    }

    /// At most about 8 MiB are given, or one entry: the reader goes on from there.
    async fn read_streams(&mut self, read: &Read) -> Result<bool, Fault> {
        let shared = self.shared.clone();
        let look = |granted| {
            let found = shared.streams.read(read, granted);
            let bytes = found.iter().map(|(_, run)| run.bytes()).sum();
            (found, bytes)
        };
        let (found, room) = shared.budget.replies.fit(PORTION_BYTES, look).await?;
        if found.is_empty() {
            return Ok(false);
        }
        self.output.holds(room.as_ref());
        self.send_read(found, room).await?;
        Ok(true)
    }

    async fn send_read(&mut self, found: ReadResult, mut room: Option<Held>) -> io::Result<()> {
        stream_reply::read_head(&mut self.reply(), found.len());
        let mut later: usize = found.iter().map(|(_, run)| run.bytes()).sum();
        for (key, run) in found {
            later = later.saturating_sub(run.bytes());
            stream_reply::stream_head(&mut self.reply(), &key, run.len());
            let left = |bytes: usize| {
                let bytes = bytes.saturating_add(later);
                room.iter_mut().for_each(|room| room.shrink_to(bytes));
            };
            self.send_run(run, left).await?;
        }
        Ok(())
    }

    pub(super) async fn xdel(&mut self, key: &[u8], ids: &[StreamId]) -> Result<(), Fault> {
        let gone = match self.holds_stream(key).await? {
            false => 0,
            true => self
                .shared
                .streams
                .with(|store| store.delete_entries(key, ids))?,
        };
        self.reply().count(gone);
        Ok(())
    }

    pub(super) async fn xtrim(&mut self, key: &[u8], trim: Trim) -> Result<(), Fault> {
        let gone = match self.holds_stream(key).await? {
            false => 0,
            true => self.shared.streams.with(|store| store.trim(key, trim))?,
        };
        self.reply().count(gone);
        Ok(())
    }

    pub(super) async fn xinfo(&mut self, key: &[u8]) -> Result<(), Fault> {
        if !self.holds_stream(key).await? {
            return Err(StreamError::NoSuchKey.into());
        }
        let shared = self.shared.clone();
        let look = |_| {
            let info = shared.streams.with(|store| store.info(key));
            let bytes = info.as_ref().map_or(0, StreamInfo::bytes);
            (info, bytes)
        };
        let (info, room) = shared.budget.replies.fit(0, look).await?;
        self.output.holds(room.as_ref());
        stream_reply::info(&mut self.reply(), &info?);
        Ok(self.output.relieve().await?)
    }

    /// Whether there is a stream under the key; a string is of the wrong type.
    async fn holds_stream(&self, key: &[u8]) -> Result<bool, Fault> {
        match self.shared.place(key) {
            Place::Root => Err(Fault::WrongType),
            Place::Item => match self.item_of(key).await?.item {
                Some(_) => Err(Fault::WrongType),
                None => Ok(false),
            },
            Place::Changes | Place::Mail => Ok(self.is_stream(key)),
        }
    }

    /// What `work` makes of a stream, if there is one.
    fn with_stream<T>(&self, key: &[u8], work: impl FnOnce(&dyn StreamSource) -> T) -> Option<T> {
        self.shared
            .streams
            .with(|store| store.source(key).map(work))
    }
}
