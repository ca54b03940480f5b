//! Ids of stream entries.

use std::fmt;

/// The id of an entry, as Redis writes it: `<milliseconds>-<number within the millisecond>`.
///
/// Ids of one stream only grow. A cursor is the id of the last entry that was dealt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct StreamId {
    /// Epoch milliseconds.
    pub ms: u64,
    /// Which entry of that millisecond.
    pub seq: u64,
}

impl StreamId {
    /// Before every entry; no entry has it.
    pub const MIN: Self = Self { ms: 0, seq: 0 };

    /// The greatest id there is.
    pub const MAX: Self = Self {
        ms: u64::MAX,
        seq: u64::MAX,
    };

    /// The id that follows directly; [`StreamId::MAX`] is followed by itself.
    pub fn next(self) -> Self {
        match (self.seq.checked_add(1), self.ms.checked_add(1)) {
            (Some(seq), _) => Self { seq, ..self },
            (None, Some(ms)) => Self { ms, seq: 0 },
            (None, None) => self,
        }
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

/// The text is not a stream id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a stream id: expected <milliseconds>-<number> or <milliseconds>")]
pub struct InvalidStreamId;

impl std::str::FromStr for StreamId {
    type Err = InvalidStreamId;

    /// Reads `123-4`; `123` alone is `123-0`.
    fn from_str(text: &str) -> Result<Self, InvalidStreamId> {
        let (ms, seq) = text.split_once('-').unwrap_or((text, "0"));
        Ok(Self {
            ms: number(ms)?,
            seq: number(seq)?,
        })
    }
}

fn number(text: &str) -> Result<u64, InvalidStreamId> {
    // `parse` alone would take a leading `+` too.
    match text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => text.parse().map_err(|_| InvalidStreamId),
        false => Err(InvalidStreamId),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_ids_are_read() {
        let id = |ms, seq| Ok(StreamId { ms, seq });
        assert_eq!("123-4".parse(), id(123, 4));
        assert_eq!("123".parse(), id(123, 0));
        assert_eq!(
            "18446744073709551615-18446744073709551615".parse(),
            Ok(StreamId::MAX)
        );
        for wrong in [
            "",
            "-",
            "1-",
            "-1",
            "+1-2",
            "1-+2",
            "1-2-3",
            "a",
            "1 -2",
            "$",
            "*",
            "1.0",
            "18446744073709551616",
            "１",
        ] {
            assert_eq!(wrong.parse::<StreamId>(), Err(InvalidStreamId), "{wrong}");
        }
    }

    #[test]
    fn next_carries_and_stops_at_the_end() {
        let full = StreamId {
            ms: 7,
            seq: u64::MAX,
        };
        assert_eq!(full.next(), StreamId { ms: 8, seq: 0 });
        assert_eq!(StreamId::MAX.next(), StreamId::MAX);
    }

    proptest! {
        #[test]
        fn text_round_trips_and_next_is_next(ms: u64, seq in 0..u64::MAX) {
            let id = StreamId { ms, seq };
            prop_assert_eq!(id.to_string().parse(), Ok(id));
            prop_assert!(id < id.next());
            prop_assert_eq!(id.next().seq, seq + 1);
        }

        #[test]
        fn any_text_is_an_error_not_a_panic(text: String) {
            let read: Result<StreamId, _> = text.parse();
            prop_assert_eq!(read.is_ok(), text.split('-').count() <= 2 && text.split('-').all(|n| n.parse::<u64>().is_ok() && !n.starts_with('+')));
        }
    }
}
