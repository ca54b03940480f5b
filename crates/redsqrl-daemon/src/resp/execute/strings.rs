//! Commands that read values.

use std::io;

use bytes::Bytes;

use super::Executor;
use super::fault::Fault;
use super::values::Walk;
use crate::resp::special::Place;

impl Executor<'_> {
    /// GETs of items that follow each other.
    ///
    /// # Errors
    /// The client has gone.
    pub(super) async fn gets(&mut self, keys: &[Bytes]) -> io::Result<()> {
        let mut walk = Walk::over(keys);
        while let Some(part) = walk.ahead() {
            match self.portion(part).await {
                Ok(found) => {
                    walk.pass(&found);
                    self.output.holds(found.room.as_ref());
                    for item in &found.items {
                        match item {
                            Some(item) => self.reply().value(&item.content),
                            None => self.reply().null(),
                        }
                        self.output.relieve().await?;
                    }
                }
                // A key that could not be looked up must not take its neighbours with it.
                Err(Fault::Engine(_)) if part.len() > 1 => walk.slow_down(),
                Err(fault) => {
                    walk.skip(1);
                    self.answered(Err(fault))?;
                }
            }
        }
        Ok(())
    }

    /// GET of a key that is no item's.
    pub(super) fn get_special(&mut self, key: &[u8]) -> Result<(), Fault> {
        match self.shared.place(key) {
            Place::Root => match self.root()? {
                Some(root) => self.reply().bulk(root.as_bytes()),
                None => self.reply().null(),
            },
            _ if self.is_stream(key) => return Err(Fault::WrongType),
            _ => self.reply().null(),
        }
        Ok(())
    }

    /// MGET. Its values are read and sent piece by piece. If one cannot be read after others have
    /// been sent, the connection is cut: an error can no longer be told from a value.
    pub(super) async fn mget(&mut self, keys: &[Bytes]) -> Result<(), Fault> {
        let begin = self.output.mark();
        self.reply().array(keys.len());
        match self.values(keys).await {
            Err(fault) if !self.output.take_back(begin) => {
                self.shared.stats.failed.add(1);
                Err(Fault::Gone(io::Error::other(fault)))
            }
            done => done,
        }
    }

    async fn values(&mut self, keys: &[Bytes]) -> Result<(), Fault> {
        let mut walk = Walk::over(keys);
        while let Some(part) = walk.ahead() {
            let found = self.portion(part).await?;
            walk.pass(&found);
            self.output.holds(found.room.as_ref());
            for (key, item) in part.iter().zip(&found.items) {
                let value = match self.shared.place(key) {
                    Place::Root => self.root()?.map(Bytes::from),
                    _ => item.as_ref().map(|item| item.content.clone()),
                };
                match value {
                    Some(value) => self.reply().value(&value),
                    None => self.reply().null(),
                }
                self.output.relieve().await?;
            }
        }
        Ok(())
    }

    pub(super) async fn strlen(&mut self, key: &[u8]) -> Result<(), Fault> {
        let len = match self.shared.place(key) {
            Place::Root => self.root()?.map_or(0, |root| root.len()),
            _ => {
                let found = self.string_item(key).await?;
                found.item.map_or(0, |item| item.content.len())
            }
        };
        self.reply().count(len);
        Ok(())
    }
}
