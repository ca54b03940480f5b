//! Commands that read values.

use std::io;

use bytes::Bytes;

use super::Executor;
use super::fault::Fault;
use super::values::{keys_at_once, keys_first, largest};
use crate::resp::special::Place;

impl Executor<'_> {
    /// GETs of items that follow each other.
    ///
    /// # Errors
    /// The client has gone.
    pub(super) async fn gets(&mut self, keys: &[Bytes]) -> io::Result<()> {
        let mut rest = keys;
        let mut count = keys_first();
        while !rest.is_empty() {
            let (part, later) = rest.split_at(count.min(rest.len()));
            rest = later;
            match self.items(part).await {
                Ok(items) => {
                    count = keys_at_once(largest(items.iter()));
                    for item in items {
                        match item {
                            Some(item) => self.reply().bulk(&item.content),
                            None => self.reply().null(),
                        }
                        self.output.relieve().await?;
                    }
                }
                Err(fault) if part.len() == 1 => self.fault(&fault),
                Err(_) => self.gets_one_by_one(part).await,
            }
            self.output.relieve().await?;
        }
        Ok(())
    }

    /// A key that could not be looked up must not take its neighbours with it.
    async fn gets_one_by_one(&mut self, keys: &[Bytes]) {
        for key in keys {
            match self.item_of(key).await {
                Ok(Some(item)) => self.reply().bulk(&item.content),
                Ok(None) => self.reply().null(),
                Err(fault) => self.fault(&fault),
            }
        }
    }

    /// GET of a key that is no item's.
    pub(super) fn get_special(&mut self, key: &[u8]) -> Result<(), Fault> {
        match self.shared.place(key) {
            Place::Root => {
                let root = self.root()?;
                self.reply().bulk(root.as_bytes());
            }
            _ if self.is_stream(key) => return Err(Fault::WrongType),
            _ => self.reply().null(),
        }
        Ok(())
    }

    pub(super) async fn mget(&mut self, keys: &[Bytes]) -> Result<(), Fault> {
        let bytes_max = self.shared.limits().reply_bytes_max;
        let mut found: Vec<Option<Bytes>> = Vec::with_capacity(keys.len());
        let mut bytes = 0usize;
        let mut rest = keys;
        let mut count = keys_first();
        while !rest.is_empty() {
            let (part, later) = rest.split_at(count.min(rest.len()));
            rest = later;
            let items = self.items(part).await?;
            count = keys_at_once(largest(items.iter()));
            for (key, item) in part.iter().zip(items) {
                let value = match self.shared.place(key) {
                    Place::Root => Some(self.root()?.into()),
                    _ => item.map(|item| item.content.clone()),
                };
                bytes = bytes.saturating_add(value.as_ref().map_or(0, Bytes::len));
                found.push(value);
            }
            if bytes > bytes_max {
                return Err(Fault::ReplyTooLarge { bytes_max });
            }
        }
        let mut reply = self.reply();
        reply.array(found.len());
        for value in &found {
            match value {
                Some(value) => reply.bulk(value),
                None => reply.null(),
            }
        }
        Ok(())
    }

    pub(super) async fn strlen(&mut self, key: &[u8]) -> Result<(), Fault> {
        let len = match self.shared.place(key) {
            Place::Root => self.root()?.len(),
            _ => {
                let item = self.string_item(key).await?;
                item.map_or(0, |item| item.content.len())
            }
        };
        self.reply().count(len);
        Ok(())
    }
}
