//! Stream ids and the ways requests point at them.

use std::fmt;
use std::str::FromStr;

/// The id of a stream entry: milliseconds, then a number within the millisecond. Written
/// `ms-seq`; ordered by `ms`, then `seq`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct StreamId {
    /// Milliseconds since 1970, as a rule.
    pub ms: u64,
    /// Which entry of that millisecond.
    pub seq: u64,
}

/// Not a stream id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("ERR Invalid stream ID specified as stream command argument")]
pub struct InvalidStreamId;

impl StreamId {
    /// `0-0`: before every entry; no entry has it.
    pub const MIN: StreamId = StreamId { ms: 0, seq: 0 };

    /// The last id there is.
    pub const MAX: StreamId = StreamId {
        ms: u64::MAX,
        seq: u64::MAX,
    };

    /// The id `ms-seq`.
    #[must_use]
    pub const fn new(ms: u64, seq: u64) -> Self {
        StreamId { ms, seq }
    }

    /// The next id; `None` after [`StreamId::MAX`].
    #[must_use]
    pub fn next(self) -> Option<Self> {
        match self.seq.checked_add(1) {
            Some(seq) => Some(StreamId { ms: self.ms, seq }),
            None => self.ms.checked_add(1).map(|ms| StreamId { ms, seq: 0 }),
        }
    }

    /// The id before; `None` before [`StreamId::MIN`].
    #[must_use]
    pub fn previous(self) -> Option<Self> {
        match self.seq.checked_sub(1) {
            Some(seq) => Some(StreamId { ms: self.ms, seq }),
            None => self
                .ms
                .checked_sub(1)
                .map(|ms| StreamId { ms, seq: u64::MAX }),
        }
    }

    /// Reads `ms-seq`, or `ms` alone, which stands for `ms-seq_default`.
    ///
    /// # Errors
    /// [`InvalidStreamId`] unless both are decimal numbers below 2⁶⁴, without sign.
    pub fn parse(text: &[u8], seq_default: u64) -> Result<Self, InvalidStreamId> {
        match text.iter().position(|byte| *byte == b'-') {
            None => Ok(StreamId::new(number(text)?, seq_default)),
            Some(at) => {
                let (ms, seq) = text.split_at(at);
                let seq = seq.strip_prefix(b"-").unwrap_or_default();
                Ok(StreamId::new(number(ms)?, number(seq)?))
            }
        }
    }
}

fn number(digits: &[u8]) -> Result<u64, InvalidStreamId> {
    if digits.is_empty() {
        return Err(InvalidStreamId);
    }
    digits.iter().try_fold(0u64, |value, digit| match digit {
        b'0'..=b'9' => value
            .checked_mul(10)
            .and_then(|value| value.checked_add(u64::from(digit - b'0')))
            .ok_or(InvalidStreamId),
        _ => Err(InvalidStreamId),
    })
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

impl FromStr for StreamId {
    type Err = InvalidStreamId;

    /// Reads what [`fmt::Display`] writes; `ms` alone is `ms-0`.
    fn from_str(text: &str) -> Result<Self, InvalidStreamId> {
        StreamId::parse(text.as_bytes(), 0)
    }
}

/// The id XADD asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddId {
    /// `*`: the clock's, or the next one if the clock is behind.
    Auto,
    /// `ms-*`: the next free one of that millisecond.
    AutoSeq(u64),
    /// This one.
    Exact(StreamId),
}

impl AddId {
    /// The time that is asked for, in milliseconds; `None`: that of the clock.
    #[must_use]
    pub fn ms(self) -> Option<u64> {
        match self {
            AddId::Auto => None,
            AddId::AutoSeq(ms) => Some(ms),
            AddId::Exact(id) => Some(id.ms),
        }
    }

    /// Reads `*`, `ms-*`, `ms-seq` or `ms`.
    ///
    /// # Errors
    /// [`InvalidStreamId`] for anything else.
    pub fn parse(text: &[u8]) -> Result<Self, InvalidStreamId> {
        match text {
            b"*" => Ok(AddId::Auto),
            [ms @ .., b'-', b'*'] => Ok(AddId::AutoSeq(number(ms)?)),
            _ => StreamId::parse(text, 0).map(AddId::Exact),
        }
    }
}

/// Where XREAD begins on one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadFrom {
    /// After this id.
    After(StreamId),
    /// `$`: after whatever is last when the request is taken up.
    Now,
}

/// Which end of a range a bound is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The lower end: `ms` alone is `ms-0`.
    Start,
    /// The upper end: `ms` alone is the last of that millisecond.
    End,
}

/// Why a range bound is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BoundError {
    /// Not an id.
    #[error(transparent)]
    Id(#[from] InvalidStreamId),
    /// Nothing lies after the exclusive start.
    #[error("ERR invalid start ID for the interval")]
    Start,
    /// Nothing lies before the exclusive end.
    #[error("ERR invalid end ID for the interval")]
    End,
}

/// Reads a range bound, `-`, `+`, an id, or `(` and an id, into the first or last id inside.
///
/// # Errors
/// Not a bound, or an exclusive one with nothing beyond it.
pub fn parse_bound(text: &[u8], side: Side) -> Result<StreamId, BoundError> {
    let seq_default = match side {
        Side::Start => 0,
        Side::End => u64::MAX,
    };
    match text {
        b"-" => Ok(StreamId::MIN),
        b"+" => Ok(StreamId::MAX),
        [b'(', exclusive @ ..] => {
            let id = StreamId::parse(exclusive, seq_default)?;
            match side {
                Side::Start => id.next().ok_or(BoundError::Start),
                Side::End => id.previous().ok_or(BoundError::End),
            }
        }
        _ => Ok(StreamId::parse(text, seq_default)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ids_and_what_is_none() {
        assert_eq!("5-7".parse(), Ok(StreamId::new(5, 7)));
        assert_eq!("5".parse(), Ok(StreamId::new(5, 0)));
        assert_eq!(AddId::parse(b"5-*"), Ok(AddId::AutoSeq(5)));
        for text in [
            "",
            "-",
            "5-",
            "-5",
            "+5",
            "5-6-7",
            "a",
            "5-x",
            "5 ",
            "18446744073709551616",
        ] {
            assert_eq!(text.parse::<StreamId>(), Err(InvalidStreamId), "{text}");
        }
    }

    #[test]
    fn bounds() {
        let start = |text: &str| parse_bound(text.as_bytes(), Side::Start);
        let end = |text: &str| parse_bound(text.as_bytes(), Side::End);
        assert_eq!(start("-"), Ok(StreamId::MIN));
        assert_eq!(end("+"), Ok(StreamId::MAX));
        assert_eq!(start("5"), Ok(StreamId::new(5, 0)));
        assert_eq!(end("5"), Ok(StreamId::new(5, u64::MAX)));
        assert_eq!(start("(5-1"), Ok(StreamId::new(5, 2)));
        assert_eq!(end("(5-0"), Ok(StreamId::new(4, u64::MAX)));
        assert_eq!(start("(-"), Err(BoundError::Id(InvalidStreamId)));
        assert_eq!(
            start(&format!("({}", StreamId::MAX)),
            Err(BoundError::Start)
        );
        assert_eq!(end("(0-0"), Err(BoundError::End));
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read(ms: u64, seq: u64) {
            let id = StreamId::new(ms, seq);
            prop_assert_eq!(id.to_string().parse(), Ok(id));
        }

        #[test]
        fn any_text_is_read_or_refused(text: Vec<u8>) {
            if let Ok(id) = StreamId::parse(&text, 0) {
                prop_assert_eq!(StreamId::parse(id.to_string().as_bytes(), 1), Ok(id));
            }
            let _bound_or_error = parse_bound(&text, Side::End);
        }

        #[test]
        fn next_and_previous_are_neighbours(ms: u64, seq: u64) {
            let id = StreamId::new(ms, seq);
            if let Some(next) = id.next() {
                prop_assert!(next > id);
                prop_assert_eq!(next.previous(), Some(id));
            }
        }
    }
}
