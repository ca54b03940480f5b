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

    /// The id `ms-seq`.
    pub const fn new(ms: u64, seq: u64) -> Self {
        Self { ms, seq }
    }

    /// The id that follows directly; `None` after [`StreamId::MAX`].
    pub fn next(self) -> Option<Self> {
        match self.seq.checked_add(1) {
            Some(seq) => Some(Self { seq, ..self }),
            None => self.ms.checked_add(1).map(|ms| Self { ms, seq: 0 }),
        }
    }

    /// The id directly before; `None` before [`StreamId::MIN`].
    pub fn previous(self) -> Option<Self> {
        match self.seq.checked_sub(1) {
            Some(seq) => Some(Self { seq, ..self }),
            None => self.ms.checked_sub(1).map(|ms| Self { ms, seq: u64::MAX }),
        }
    }

    /// Reads `123-4`; `123` alone is `123-<seq_default>`.
    ///
    /// # Errors
    /// [`InvalidStreamId`] unless both are decimal numbers below 2⁶⁴, without sign.
    pub fn parse(text: &[u8], seq_default: u64) -> Result<Self, InvalidStreamId> {
        let mut numbers = text.splitn(2, |byte| *byte == b'-').map(number);
        let ms = numbers.next().unwrap_or(Err(InvalidStreamId))?;
        let seq = numbers.next().unwrap_or(Ok(seq_default))?;
        Ok(Self { ms, seq })
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
        Self::parse(text.as_bytes(), 0)
    }
}

fn number(digits: &[u8]) -> Result<u64, InvalidStreamId> {
    // `parse` alone would take a leading `+` too.
    let text = str::from_utf8(digits).map_err(|_| InvalidStreamId)?;
    match digits.iter().all(u8::is_ascii_digit) {
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
    fn neighbours_carry_and_end() {
        let full = StreamId::new(7, u64::MAX);
        assert_eq!(full.next(), Some(StreamId::new(8, 0)));
        assert_eq!(StreamId::MAX.next(), None);
        assert_eq!(StreamId::MIN.previous(), None);
    }

    proptest! {
        #[test]
        fn text_round_trips_and_next_is_next(ms: u64, seq in 0..u64::MAX) {
            let id = StreamId { ms, seq };
            prop_assert_eq!(id.to_string().parse(), Ok(id));
            prop_assert_eq!(id.next(), Some(StreamId::new(ms, seq + 1)));
        }

        #[test]
        fn previous_undoes_next(ms in 0..u64::MAX, seq: u64) {
            let id = StreamId { ms, seq };
            let next = id.next().unwrap();
            prop_assert!(id < next);
            prop_assert_eq!(next.previous(), Some(id));
        }

        #[test]
        fn any_bytes_are_read_or_refused(text: Vec<u8>) {
            if let Ok(id) = StreamId::parse(&text, 0) {
                prop_assert_eq!(StreamId::parse(id.to_string().as_bytes(), 1), Ok(id));
            }
        }

        #[test]
        fn any_text_is_an_error_not_a_panic(text: String) {
            let read: Result<StreamId, _> = text.parse();
            prop_assert_eq!(read.is_ok(), text.split('-').count() <= 2 && text.split('-').all(|n| n.parse::<u64>().is_ok() && !n.starts_with('+')));
        }
    }
}
