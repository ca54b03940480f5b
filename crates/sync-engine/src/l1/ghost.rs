//! The memory of entries lately evicted: one that comes back soon keeps its standing.

use super::score::{Heat, Moment};

const CELLS_MIN: usize = 16;

#[derive(Clone, Copy)]
struct Cell {
    tag: u32,
    reads: f32,
    tick: u32,
}

const EMPTY: Cell = Cell {
    tag: 0,
    reads: 0.0,
    tick: 0,
};

/// A table of `tag → heat` with one place for each tag; the newest stays. About one cell for each entry of the shard.
#[derive(Default)]
pub(super) struct Ghost(Vec<Cell>);

impl Ghost {
    /// Remembers an entry evicted from a shard that holds `entries`.
    pub(super) fn remember(&mut self, tag: u32, heat: Heat, entries: usize) {
        self.fit(entries);
        if let Some(cell) = self.cell(tag) {
            *cell = Cell {
                tag,
                reads: heat.reads,
                tick: heat.tick,
            };
        }
    }

    /// The heat of an entry that comes in now: one read, and what is remembered of it.
    pub(super) fn recall(&mut self, tag: u32, now: Moment) -> Heat {
        match self.cell(tag) {
            Some(cell) if cell.tag == tag && cell.reads > 0.0 => {
                let Cell { reads, tick, .. } = std::mem::replace(cell, EMPTY);
                Heat { reads, tick }.touched(now)
            }
            _ => Heat::first(now),
        }
    }

    /// Grows or shrinks to the largest power of two that is not above `entries`. What does not fit is forgotten.
    fn fit(&mut self, entries: usize) {
        let power = |n: usize| 1 << n.max(CELLS_MIN).ilog2();
        let cells = power(entries);
        // Shrinks late, so that a shard at a boundary does not copy its table to and fro.
        if cells > self.0.len() || cells < self.0.len() / 2 {
            let old = std::mem::replace(&mut self.0, vec![EMPTY; cells]);
            for kept in old.into_iter().filter(|cell| cell.reads > 0.0) {
                if let Some(cell) = self.cell(kept.tag) {
                    *cell = kept;
                }
            }
        }
    }

    fn cell(&mut self, tag: u32) -> Option<&mut Cell> {
        let mask = self.0.len().checked_sub(1)?;
        self.0.get_mut(tag as usize & mask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment {
        tick: 100,
        decay: 0.1,
    };

    #[test]
    fn a_returning_entry_keeps_its_decayed_reads_once() {
        let mut ghost = Ghost::default();
        assert_eq!(ghost.recall(5, NOW), Heat::first(NOW));
        ghost.remember(
            5,
            Heat {
                reads: 8.0,
                tick: 90,
            },
            100,
        );
        assert_eq!(ghost.recall(21, NOW), Heat::first(NOW));
        assert_eq!(
            ghost.recall(5, NOW),
            Heat {
                reads: 5.0,
                tick: 100
            }
        );
        assert_eq!(ghost.recall(5, NOW), Heat::first(NOW));
    }

    #[test]
    fn the_table_follows_the_shard_and_stays_bounded() {
        let mut ghost = Ghost::default();
        ghost.remember(1, Heat::first(NOW), 1000);
        assert_eq!(ghost.0.len(), 512);
        ghost.remember(2, Heat::first(NOW), 3000);
        assert_eq!(ghost.0.len(), 2048);
        assert_eq!(ghost.recall(1, NOW).reads, 2.0);
        ghost.remember(3, Heat::first(NOW), 10);
        assert_eq!(ghost.0.len(), 16);
    }
}
