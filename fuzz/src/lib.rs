//! Makes of random bytes what a decoder is given.

use bytes::Bytes;

/// Random bytes, taken from the front.
pub struct Feed<'a>(pub &'a [u8]);

impl<'a> Feed<'a> {
    /// The next byte; 0 when there are no more.
    pub fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    /// Eight bytes, as a number.
    pub fn number(&mut self) -> u64 {
        (0..8).fold(0, |number, _| number << 8 | u64::from(self.byte()))
    }

    /// Some bytes: the next byte says how many.
    pub fn short(&mut self) -> &'a [u8] {
        let len = usize::from(self.byte());
        let (some, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        some
    }

    /// Entries of a stream: names out of a list, so that what has the right names is come upon.
    pub fn fields(&mut self, names: &[&str]) -> Vec<(Bytes, Bytes)> {
        let mut fields = Vec::new();
        while !self.0.is_empty() && fields.len() < 16 {
            let name = match names.get(usize::from(self.byte())) {
                Some(name) => Bytes::copy_from_slice(name.as_bytes()),
                None => Bytes::copy_from_slice(self.short()),
            };
            let value = match self.byte() {
                // The rest, so that values may be long.
                255 => std::mem::take(&mut self.0),
                _ => self.short(),
            };
            fields.push((name, Bytes::copy_from_slice(value)));
        }
        fields
    }
}
