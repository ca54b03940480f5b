//! Varints and lengths.

use super::question::CodecError;

pub(super) fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Bytes not read yet.
pub(super) struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    pub(super) fn byte(&mut self) -> Result<u8, CodecError> {
        let (byte, rest) = self.0.split_first().ok_or(CodecError::Truncated)?;
        self.0 = rest;
        Ok(*byte)
    }

    pub(super) fn varint(&mut self) -> Result<u64, CodecError> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if (shift == 63 && bits > 1) || (shift > 0 && byte == 0) {
                return Err(CodecError::Malformed("number"));
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(CodecError::Malformed("number"))
    }

    pub(super) fn count(&mut self, what: &'static str, limit: usize) -> Result<usize, CodecError> {
        let count = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
        match count <= limit {
            true => Ok(count),
            false => Err(CodecError::TooMany { what, limit }),
        }
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], CodecError> {
        let length = usize::try_from(self.varint()?).map_err(|_| CodecError::Truncated)?;
        let (taken, rest) = self
            .0
            .split_at_checked(length)
            .ok_or(CodecError::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn close(self) -> Result<(), CodecError> {
        match self.0.is_empty() {
            true => Ok(()),
            false => Err(CodecError::Malformed("end")),
        }
    }
}
