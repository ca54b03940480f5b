//! SCAN: the keys of items, in their order, page by page.

use sync_engine::{Key, ScanPage};

use super::Executor;
use super::fault::Fault;
use crate::limits::CLIENT_BYTES;
use crate::resp::command::Scan;
use crate::resp::glob::Glob;

/// Most keys one SCAN looks at, whatever COUNT says; it is a hint.
const KEYS_LOOKED_AT_MAX: usize = 10_000;

/// Keys looked at with one question.
const KEYS_AT_ONCE: usize = 256;

/// A page with so many bytes of keys is long enough.
const PAGE_BYTES: usize = CLIENT_BYTES / 2;

/// One page: its keys, and behind which key the next one begins.
struct Page {
    keys: Vec<Key>,
    next: Option<Key>,
}

impl Executor<'_> {
    pub(super) async fn scan(&mut self, scan: &Scan) -> Result<(), Fault> {
        let now = self.shared.env().monotonic();
        let after = match scan.cursor {
            0 => None,
            cursor => {
                let cursors = self.shared.cursors.lock();
                let after = cursors.find(cursor, now).ok_or(Fault::Cursor)?;
                Some(after.to_owned())
            }
        };
        let page = match scan.pattern.as_ref().and_then(Glob::literal) {
            _ if scan.kind.as_ref().is_some_and(|kind| kind != "string") => Page::empty(),
            Some(key) => self.page_of_one(&key).await?,
            None => self.page(scan, after.as_deref()).await?,
        };
        let cursor = match page.next {
            None => 0,
            Some(next) => {
                let random = self.shared.env().random();
                let mut cursors = self.shared.cursors.lock();
                cursors.keep(next.as_str().to_owned(), random, now)
            }
        };
        let mut reply = self.reply();
        reply.array(2);
        reply.bulk(cursor.to_string().as_bytes());
        reply.array(page.keys.len());
        page.keys.iter().for_each(|key| reply.bulk(key.as_bytes()));
        Ok(())
    }

    /// A pattern that only one key matches.
    async fn page_of_one(&self, key: &[u8]) -> Result<Page, Fault> {
        let found = self.item_of(key).await?.item;
        Ok(Page {
            keys: found.iter().map(|item| item.object_id.clone()).collect(),
            next: None,
        })
    }

    async fn page(&self, scan: &Scan, after: Option<&str>) -> Result<Page, Fault> {
        let prefix = prefix(scan.pattern.as_ref());
        let mut left = usize::try_from(scan.count)
            .unwrap_or(usize::MAX)
            .min(KEYS_LOOKED_AT_MAX);
        let mut page = Page {
            keys: Vec::new(),
            next: after.map(Key::from),
        };
        while left > 0 && page.bytes() < PAGE_BYTES {
            let behind = page.next.as_deref();
            let reader = &self.shared.reader;
            let (found, _room) = reader.page(&prefix, behind, left.min(KEYS_AT_ONCE)).await?;
            left = left.saturating_sub(found.items.len());
            page.take(found, scan.pattern.as_ref());
            if page.next.is_none() {
                break;
            }
        }
        Ok(page)
    }
}

impl Page {
    fn empty() -> Self {
        Page {
            keys: Vec::new(),
            next: None,
        }
    }

    fn take(&mut self, found: ScanPage, pattern: Option<&Glob>) {
        self.next = found.next;
        let matches = |key: &Key| pattern.is_none_or(|pattern| pattern.matches(key.as_bytes()));
        let keys = found.items.iter().map(|item| item.object_id.clone());
        self.keys.extend(keys.filter(matches));
    }

    fn bytes(&self) -> usize {
        self.keys.iter().map(|key| key.len()).sum()
    }
}

/// What all matching keys begin with, as far as it is text: a pattern may cut a character.
fn prefix(pattern: Option<&Glob>) -> String {
    let prefix = pattern.map(Glob::literal_prefix).unwrap_or_default();
    match String::from_utf8(prefix) {
        Ok(prefix) => prefix,
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let mut bytes = error.into_bytes();
            bytes.truncate(valid);
            // Cannot fail: `valid` says so.
            String::from_utf8(bytes).unwrap_or_default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_is_whole_characters() {
        let of = |pattern: &'static [u8]| prefix(Some(&Glob::new(pattern.into())));
        assert_eq!(of("uk.é*".as_bytes()), "uk.é");
        assert_eq!(of(b"uk.\xc3*"), "uk.");
        assert_eq!(prefix(None), "");
    }
}
