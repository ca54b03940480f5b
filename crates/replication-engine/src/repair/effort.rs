//! What earlier comparisons with a peer mean for the next one. Pure.

use super::cycle::Outcome;
use super::schedule::Ended;
use super::step::Fill;
use crate::error::RepairError;

/// How often the budget of a comparison is doubled because what fits into it cannot be taken.
const FRUITLESS_MAX: u32 = 8;

/// What is remembered of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Effort {
    fruitless: u32,
    is_continued: bool,
    is_fill_stuck: bool,
}

impl Effort {
    /// How often to double the budget: so many in a row found more than theirs and could take nothing of it.
    pub fn doublings(&self) -> u32 {
        self.fruitless
    }

    /// Whether the last one ran out of budget while it took things.
    pub fn is_continued(&self) -> bool {
        self.is_continued
    }

    /// Where a fill is, of which the cursors say whether it has begun.
    pub fn fill(&self, has_begun: bool) -> Fill {
        match has_begun {
            _ if self.is_fill_stuck => Fill::Stuck,
            true => Fill::UnderWay,
            false => Fill::Idle,
        }
    }

    /// Remembers how a comparison ended, and says when the next one is due.
    pub fn after(&mut self, found: &Result<Outcome, RepairError>, is_fruitful: bool) -> Ended {
        self.is_continued = false;
        match found {
            Ok(Outcome::Moving) => Ended::Moving,
            Ok(
                Outcome::FillDue
                | Outcome::Compared {
                    is_truncated: true, ..
                },
            ) if is_fruitful => {
                self.is_continued = true;
                Ended::Partial
            }
            // What was found cannot be taken: at once again would be for ever. The next one looks further.
            Ok(
                Outcome::FillDue
                | Outcome::Compared {
                    is_truncated: true, ..
                },
            ) => {
                self.fruitless = (self.fruitless + 1).min(FRUITLESS_MAX);
                Ended::Whole
            }
            Ok(Outcome::InSync | Outcome::Compared { .. }) => {
                *self = Self::default();
                Ended::Whole
            }
            // At once, and once only: no fill is begun before a comparison has ended well.
            Err(RepairError::FillStuck { .. }) => {
                self.is_fill_stuck = true;
                Ended::Partial
            }
            Err(_) => Ended::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(is_truncated: bool) -> Result<Outcome, RepairError> {
        Ok(Outcome::Compared {
            behind: 9,
            refused: 0,
            is_truncated,
        })
    }

    #[test]
    fn what_cannot_be_taken_is_looked_past_and_not_for_ever_at_once() {
        let mut effort = Effort::default();
        assert_eq!(effort.after(&compared(true), true), Ended::Partial);
        assert!(effort.is_continued() && effort.doublings() == 0);
        for doublings in 1..20 {
            assert_eq!(effort.after(&compared(true), false), Ended::Whole);
            assert_eq!(effort.doublings(), doublings.min(FRUITLESS_MAX));
            assert!(!effort.is_continued());
        }
        assert_eq!(effort.after(&compared(false), true), Ended::Whole);
        assert_eq!(effort.doublings(), 0);
    }

    #[test]
    fn a_fill_that_is_stuck_is_not_begun_again_before_a_comparison_has_ended() {
        let mut effort = Effort::default();
        assert_eq!(
            (effort.fill(false), effort.fill(true)),
            (Fill::Idle, Fill::UnderWay)
        );
        let stuck = Err(RepairError::FillStuck { after: "k".into() });
        assert_eq!(effort.after(&stuck, true), Ended::Partial);
        for (found, ended) in [
            (compared(true), Ended::Partial),
            (Err(RepairError::NoProgress), Ended::Failed),
            (Ok(Outcome::Moving), Ended::Moving),
        ] {
            assert_eq!(
                (effort.fill(true), effort.after(&found, true)),
                (Fill::Stuck, ended)
            );
        }
        effort.after(&compared(false), false);
        assert_eq!(effort.fill(false), Fill::Idle);
    }
}
