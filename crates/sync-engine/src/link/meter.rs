//! Weighs replies while they come in, so that one that is too large is given up before it lies in memory. Pure.
//!
//! It follows the protocol just far enough to know where a reply ends and what it will take: the length of a string and
//! the number of values in a list are said in front of them, so most of what is too large is never read at all.

use std::fmt;

/// What one value of a reply takes in memory beside its bytes. A list of nothing but empty values is no small reply.
pub const VALUE_BYTES: usize = 64;

const _: () = assert!(size_of::<redis::Value>() <= VALUE_BYTES);

/// Bytes of a reply's beginning that are kept, so that it can be told which entry of a stream was too large.
const HEAD_BYTES_MAX: usize = 2 << 10;

/// Longest line that holds a length or a count: sign, digits, line end.
const NUMBER_BYTES_MAX: usize = 24;

/// A reply has more bytes than its link takes; [`VALUE_BYTES`] are added for each of its values.
#[derive(Clone, thiserror::Error)]
#[error("a reply is larger than {limit} bytes")]
pub struct ReplyTooLarge {
    limit: usize,
    head: Vec<u8>,
}

impl ReplyTooLarge {
    /// The link's limit, in bytes.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// How the reply begins, as it came: what was read of it, at most 2 KiB.
    pub fn head(&self) -> &[u8] {
        &self.head
    }
}

impl fmt::Debug for ReplyTooLarge {
    /// Without the beginning: it may hold what is only its owner's to show.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("ReplyTooLarge");
        shown.field("limit", &self.limit).finish_non_exhaustive()
    }
}

/// Why a reply is not read on.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfit {
    #[error(transparent)]
    TooLarge(ReplyTooLarge),
    /// What its size depends on cannot be read.
    #[error("the reply is not in the Redis protocol")]
    Malformed,
}

/// What comes next.
#[derive(Clone, Copy)]
enum Place {
    /// The byte that says of which kind a value is.
    Kind,
    /// A line that is the value.
    Text,
    /// A line that holds a length or a count.
    Number { kind: u8 },
    /// A string, its line end included.
    Blob { left: usize },
}

/// Follows the replies of one connection.
pub(super) struct Meter {
    place: Place,
    /// Values of the present reply that are still to come, as far as announced. 0: between two replies.
    values: usize,
    weight: usize,
    head: Vec<u8>,
    /// The line that holds a number, as far as it came.
    line: Vec<u8>,
    /// The byte before the next one.
    last: u8,
}

impl Meter {
    pub(super) fn new() -> Self {
        Self {
            place: Place::Kind,
            values: 0,
            weight: 0,
            head: Vec::new(),
            line: Vec::new(),
            last: 0,
        }
    }

    /// Takes in what came next. After an error there is no going on.
    pub(super) fn weigh(&mut self, bytes: &[u8], limit: usize) -> Result<(), Unfit> {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.values == 0 {
                self.begin();
            }
            let (piece, later) = rest.split_at(self.piece_len(rest));
            self.keep_head(piece);
            self.take(piece)?;
            self.last = piece.last().copied().unwrap_or(self.last);
            if self.weight > limit {
                let head = std::mem::take(&mut self.head);
                return Err(Unfit::TooLarge(ReplyTooLarge { limit, head }));
            }
            rest = later;
        }
        Ok(())
    }

    fn begin(&mut self) {
        self.values = 1;
        self.weight = VALUE_BYTES;
        self.head.clear();
    }

    /// How many of the bytes belong together; at least one.
    fn piece_len(&self, rest: &[u8]) -> usize {
        match self.place {
            Place::Kind => 1,
            Place::Blob { left } => left.min(rest.len()),
            Place::Text | Place::Number { .. } => {
                let end = rest.iter().position(|byte| *byte == b'\n');
                end.map_or(rest.len(), |at| at + 1)
            }
        }
    }

    fn keep_head(&mut self, piece: &[u8]) {
        let room = HEAD_BYTES_MAX.saturating_sub(self.head.len());
        self.head
            .extend_from_slice(piece.get(..room).unwrap_or(piece));
    }

    fn take(&mut self, piece: &[u8]) -> Result<(), Unfit> {
        match self.place {
            Place::Kind => self.place = place_after(piece)?,
            Place::Text => {
                self.add(piece.len());
                if self.ends_line(piece) {
                    self.end_value();
                }
            }
            Place::Number { kind } => {
                if self.line.len() + piece.len() > NUMBER_BYTES_MAX {
                    return Err(Unfit::Malformed);
                }
                self.line.extend_from_slice(piece);
                if self.ends_line(piece) {
                    let number = number(&self.line)?;
                    self.line.clear();
                    self.take_number(kind, number)?;
                }
            }
            Place::Blob { left } if left > piece.len() => {
                let left = left - piece.len();
                self.place = Place::Blob { left };
            }
            Place::Blob { .. } => self.end_value(),
        }
        Ok(())
    }

    /// A length or a count; below zero: the value is none.
    fn take_number(&mut self, kind: u8, number: i64) -> Result<(), Unfit> {
        let Ok(number) = u64::try_from(number) else {
            return match kind {
                b'$' | b'*' | b'~' | b'>' => {
                    self.end_value();
                    Ok(())
                }
                _ => Err(Unfit::Malformed),
            };
        };
        let number = usize::try_from(number).unwrap_or(usize::MAX);
        match kind {
            b'$' | b'!' | b'=' => {
                self.add(number);
                let left = number.saturating_add(2);
                self.place = Place::Blob { left };
            }
            b'%' => self.open_list(number.saturating_mul(2)),
            // The attributes of a value come in front of it, and are one with it.
            b'|' => self.open_list(number.saturating_mul(2).saturating_add(1)),
            _ => self.open_list(number),
        }
        Ok(())
    }

    fn open_list(&mut self, values: usize) {
        self.values = self.values.saturating_add(values);
        self.add(values.saturating_mul(VALUE_BYTES));
        self.end_value();
    }

    fn end_value(&mut self) {
        self.place = Place::Kind;
        self.values = self.values.saturating_sub(1);
    }

    fn add(&mut self, bytes: usize) {
        self.weight = self.weight.saturating_add(bytes);
    }

    fn ends_line(&self, piece: &[u8]) -> bool {
        match piece {
            [.., b'\r', b'\n'] => true,
            [b'\n'] => self.last == b'\r',
            _ => false,
        }
    }
}

fn place_after(kind: &[u8]) -> Result<Place, Unfit> {
    match kind {
        [b'+' | b'-' | b':' | b'_' | b',' | b'#' | b'('] => Ok(Place::Text),
        [kind @ (b'$' | b'!' | b'=' | b'*' | b'~' | b'>' | b'%' | b'|')] => {
            Ok(Place::Number { kind: *kind })
        }
        _ => Err(Unfit::Malformed),
    }
}

/// The number in a line. Stricter than readers of the protocol are, so that they never read another one out of it.
fn number(line: &[u8]) -> Result<i64, Unfit> {
    let text = line.strip_suffix(b"\r\n").unwrap_or(line);
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let is_number = digits.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(text).ok().filter(|_| is_number);
    text.and_then(|text| text.parse().ok())
        .ok_or(Unfit::Malformed)
}

#[cfg(test)]
mod tests;
