//! Numbers, lengths and lists: what messages between nodes are written with, and the one place that reads them back.
//!
//! Numbers are LEB128 varints without superfluous bytes. Bytes follow their length. A list is announced by its length, and
//! whoever reads it says how long it may be.

/// Bytes that no writer puts there. Nothing of them is used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The bytes end in the middle.
    #[error("the message ends early")]
    Truncated,
    /// There is more after the end.
    #[error("{0} bytes follow the end of the message")]
    Trailing(usize),
    /// A varint is longer than 64 bits or not the shortest form.
    #[error("a number is malformed")]
    Number,
    /// A list is longer than is accepted.
    #[error("{what}: {count} entries, the limit is {limit}")]
    TooMany {
        /// Which list.
        what: &'static str,
        /// Entries announced.
        count: u64,
        /// Entries accepted.
        limit: usize,
    },
}

/// Appends a number.
pub fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends bytes behind their length.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Bytes not read yet. Reads give slices of them, never copies; each fails when they end too early.
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    /// All of a message.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next byte.
    ///
    /// # Errors
    /// There is none.
    pub fn byte(&mut self) -> Result<u8, WireError> {
        self.array().map(|[byte]| byte)
    }

    /// The next `length` bytes.
    ///
    /// # Errors
    /// There are fewer.
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], WireError> {
        let split = self.0.split_at_checked(length);
        let (taken, left) = split.ok_or(WireError::Truncated)?;
        self.0 = left;
        Ok(taken)
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// There are fewer.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (taken, left) = self.0.split_first_chunk().ok_or(WireError::Truncated)?;
        self.0 = left;
        Ok(*taken)
    }

    /// A number.
    ///
    /// # Errors
    /// It is cut off, over 64 bits, or longer than it need be.
    pub fn varint(&mut self) -> Result<u64, WireError> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if (shift == 63 && bits > 1) || (shift > 0 && byte == 0) {
                return Err(WireError::Number);
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(WireError::Number)
    }

    /// The length of the list `what`, at most `limit`.
    ///
    /// # Errors
    /// No number, or a greater one.
    pub fn count(&mut self, what: &'static str, limit: usize) -> Result<usize, WireError> {
        let count = self.varint()?;
        let fits = usize::try_from(count).ok().filter(|count| *count <= limit);
        fits.ok_or(WireError::TooMany { what, count, limit })
    }

    /// Bytes behind their length.
    ///
    /// # Errors
    /// There are fewer.
    pub fn bytes(&mut self) -> Result<&'a [u8], WireError> {
        let length = usize::try_from(self.varint()?).map_err(|_| WireError::Truncated)?;
        self.take(length)
    }

    /// Everything that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// The message must end here.
    ///
    /// # Errors
    /// It goes on.
    pub fn close(self) -> Result<(), WireError> {
        match self.0.len() {
            0 => Ok(()),
            more => Err(WireError::Trailing(more)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_written_is_read_back_and_a_cut_message_is_not(number: u64, bytes: Vec<u8>, at: prop::sample::Index) {
            let mut message = Vec::new();
            put_varint(&mut message, number);
            put_bytes(&mut message, &bytes);
            let read = |message: &[u8]| {
                let mut input = Input::new(message);
                let read = (input.varint()?, input.bytes()?.to_vec());
                input.close().map(|()| read)
            };
            prop_assert_eq!(read(&message[..at.index(message.len())]), Err(WireError::Truncated));
            prop_assert_eq!(read(&message), Ok((number, bytes)));
            message.push(0);
            prop_assert_eq!(read(&message), Err(WireError::Trailing(1)));
        }
    }

    #[test]
    fn a_number_has_one_form() {
        for bad in [&[0x80, 0][..], &[0xff; 10], &[0x80; 11]] {
            assert_eq!(Input::new(bad).varint(), Err(WireError::Number));
        }
        let mut long = Vec::new();
        put_varint(&mut long, u64::MAX);
        let (what, limit) = ("things", 9);
        let count = u64::MAX;
        let refused = Input::new(&long).count(what, limit);
        assert_eq!(refused, Err(WireError::TooMany { what, count, limit }));
    }
}
