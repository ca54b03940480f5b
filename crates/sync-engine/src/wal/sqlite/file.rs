//! The open file: the few statements that touch it.

use rusqlite::{Connection, TransactionBehavior};

use super::layout::{insert, marker, packed, row_of, signed};
use super::row::{self, Pack, Row};
use super::{CHECKPOINT_BYTES, PAGE_BYTES, SHRINK_ABOVE_PAGES, free};
use crate::item::stamp::HlcTime;
use crate::wal::WalPos;

const READ: &str = "SELECT first, count, crc, records FROM log \
     WHERE first >= coalesce((SELECT max(first) FROM log WHERE first <= ?1), 0) ORDER BY first";

/// An open log file. Every function is one transaction, or none.
#[derive(Debug)]
pub struct LogFile {
    conn: Connection,
    /// The position of the next record.
    next: WalPos,
    /// The lowest row there may be.
    low: WalPos,
    /// About how many bytes wait in the `-wal` file to be copied into the database.
    unchecked: usize,
}

impl LogFile {
    /// The log in a file that was found sound.
    pub fn new(conn: Connection, low: WalPos, next: WalPos) -> Self {
        Self {
            conn,
            next,
            low,
            unchecked: 0,
        }
    }

    /// The position of the next record.
    pub fn next(&self) -> WalPos {
        self.next
    }

    /// Writes the packs one after the other, `clock` behind them, and frees a slice of what lies below `floor`: one transaction, one sync. After an error
    /// nothing is known of what reached the disk, and the file must not be written again.
    pub fn append(
        &mut self,
        packs: Vec<Pack>,
        floor: WalPos,
        clock: HlcTime,
    ) -> rusqlite::Result<()> {
        let (mut next, mut low) = (self.next, self.low);
        let tx = self
            .conn
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        // First the slice, so that its pages are used again by the rows.
        free::delete_slice(&tx, &mut low, floor)?;
        let mut written = 3 * PAGE_BYTES;
        for pack in packs {
            let row = packed(next, pack);
            next = row.end();
            written += row.records.len() + PAGE_BYTES;
            insert(&tx, &row)?;
        }
        // The next append writes over it.
        insert(&tx, &marker(next, clock))?;
        tx.commit()?;
        self.unchecked += written;
        (self.next, self.low) = (next, low);
        Ok(())
    }

    /// Frees a slice of what lies below `floor` in a transaction of its own. Gives whether there is more to free. A log that
    /// becomes empty keeps `clock`.
    pub fn free(&mut self, floor: WalPos, clock: HlcTime) -> rusqlite::Result<bool> {
        if !self.has_freeable(floor)? {
            return Ok(false);
        }
        let mut low = self.low;
        let tx = self
            .conn
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        free::delete_slice(&tx, &mut low, floor)?;
        if floor >= self.next {
            // The last row may be gone now, and the next position with it.
            insert(&tx, &marker(self.next, clock))?;
        }
        tx.commit()?;
        self.unchecked += 3 * PAGE_BYTES;
        self.low = low;
        let more = self.has_freeable(floor)?;
        if !more && floor >= self.next {
            self.shrink()?;
        }
        Ok(more)
    }

    fn has_freeable(&self, floor: WalPos) -> rusqlite::Result<bool> {
        Ok(free::next_slice(&self.conn, self.low, floor)?.is_some())
    }

    /// An empty log gives a large file back to the system. Cheap, because only what is left is copied.
    fn shrink(&mut self) -> rusqlite::Result<()> {
        let pages: i64 = self
            .conn
            .query_row("PRAGMA page_count", [], |row| row.get(0))?;
        if pages > SHRINK_ABOVE_PAGES {
            self.conn.execute_batch("VACUUM")?;
            self.checkpoint_whole()?;
        }
        Ok(())
    }

    /// Whether [`checkpoint`](Self::checkpoint) is due.
    pub fn wants_checkpoint(&self) -> bool {
        self.unchecked >= CHECKPOINT_BYTES
    }

    /// Copies the pages of the `-wal` file into the database, so that the next write begins it anew. Its blocks stay: to write over
    /// them is quicker than to make a file grow.
    pub fn checkpoint(&mut self) -> rusqlite::Result<()> {
        self.conn
            .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
        self.unchecked = 0;
        Ok(())
    }

    /// The same, and leaves the `-wal` file empty.
    pub fn checkpoint_whole(&mut self) -> rusqlite::Result<()> {
        self.conn
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        self.unchecked = 0;
        Ok(())
    }

    /// The row that holds `pos` or the next one, and those after it, as long as `take` wants more.
    pub fn rows_from(
        &self,
        pos: WalPos,
        mut take: impl FnMut(Row) -> bool,
    ) -> rusqlite::Result<()> {
        let mut statement = self.conn.prepare_cached(READ)?;
        let mut rows = statement.query([signed(pos)])?;
        while let Some(row) = rows.next()? {
            if !take(row_of(row)?) {
                break;
            }
        }
        Ok(())
    }

    /// Frees everything below `floor` to the record, and closes the file; what was freed does not come back when it is opened.
    pub fn close(mut self, floor: WalPos, clock: HlcTime) -> rusqlite::Result<()> {
        while self.free(floor, clock)? {}
        self.trim_first_row(floor)?;
        self.checkpoint_whole()?;
        self.conn.close().map_err(|(_, error)| error)
    }

    /// Takes the freed records out of the row in which the floor lies.
    fn trim_first_row(&mut self, floor: WalPos) -> rusqlite::Result<()> {
        let mut cut = None;
        self.rows_from(floor, |row| {
            cut = (row.first < floor && floor < row.end()).then_some(row);
            false
        })?;
        let Some(row) = cut else { return Ok(()) };
        let Ok(records) = row.records() else {
            return Ok(()); // Damaged since it was opened: left for the next opening to find.
        };
        let kept = records.into_iter().filter(|(pos, _)| *pos >= floor);
        let kept: Vec<_> = kept.map(|(_, record)| record).collect();
        let Ok(packs) = row::pack(&kept) else {
            return Ok(());
        };
        let tx = self
            .conn
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        tx.execute(free::DELETE, [signed(row.first), signed(row.first)])?;
        let mut first = floor;
        for pack in packs {
            let row = packed(first, pack);
            first = row.end();
            insert(&tx, &row)?;
        }
        tx.commit()
    }

    /// From now on the file takes no more pages, so that a write fails.
    #[cfg(test)]
    pub fn fill_up(&self) -> rusqlite::Result<()> {
        let pages: i64 = self
            .conn
            .query_row("PRAGMA page_count", [], |row| row.get(0))?;
        self.conn
            .query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))
    }
}
