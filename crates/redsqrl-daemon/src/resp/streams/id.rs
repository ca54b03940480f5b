//! The ways requests point at stream ids.

use sync_engine::cdc::stream_id::{InvalidStreamId, StreamId};

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
            [ms @ .., b'-', b'*'] if !ms.contains(&b'-') => {
                Ok(AddId::AutoSeq(StreamId::parse(ms, 0)?.ms))
            }
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

/// Why an id or a range bound is refused. Displayed as the whole error reply, in the words of Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BoundError {
    /// Not an id.
    #[error("ERR Invalid stream ID specified as stream command argument")]
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
    fn wanted_ids() {
        assert_eq!(AddId::parse(b"*"), Ok(AddId::Auto));
        assert_eq!(AddId::parse(b"5-*"), Ok(AddId::AutoSeq(5)));
        assert_eq!(AddId::parse(b"5"), Ok(AddId::Exact(StreamId::new(5, 0))));
        for text in ["", "-*", "5-6-*", "+5-*", "5*", "a-*"] {
            assert_eq!(
                AddId::parse(text.as_bytes()),
                Err(InvalidStreamId),
                "{text}"
            );
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
        fn any_text_is_read_or_refused(text: Vec<u8>) {
            let _bound_or_error = parse_bound(&text, Side::End);
        }
    }
}
