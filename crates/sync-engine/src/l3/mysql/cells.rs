//! Cells of a row, checked.

use mysql_async::Value;

use super::failure::{Failure, damaged};

/// A row whose cells are checked; an unfit one is damage, shown with table, key and column.
pub(super) struct Cells {
    table: &'static str,
    values: Vec<Value>,
}

impl Cells {
    pub(super) fn new(table: &'static str, values: Vec<Value>) -> Self {
        Self { table, values }
    }

    pub(super) fn damage(&self, at: usize, problem: &str) -> Failure {
        damaged(
            format!("table {}, key {:?}", self.table, self.lossy(0)),
            format!("column {at} {problem}"),
        )
    }

    pub(super) fn is_null(&self, at: usize) -> bool {
        matches!(self.values.get(at), Some(Value::NULL))
    }

    /// The bytes as text for a message.
    pub(super) fn lossy(&self, at: usize) -> String {
        String::from_utf8_lossy(self.bytes(at).unwrap_or(b"?")).into_owned()
    }

    pub(super) fn bytes(&self, at: usize) -> Result<&[u8], Failure> {
        match self.values.get(at) {
            Some(Value::Bytes(bytes)) => Ok(bytes),
            _ if at == 0 => Err(damaged(
                format!("table {}", self.table),
                "a key is not bytes",
            )),
            _ => Err(self.damage(at, "is not bytes")),
        }
    }

    /// The bytes, moved out.
    pub(super) fn take_bytes(&mut self, at: usize) -> Result<Vec<u8>, Failure> {
        match self.values.get_mut(at) {
            Some(Value::Bytes(bytes)) => Ok(std::mem::take(bytes)),
            _ => Err(self.damage(at, "is not bytes")),
        }
    }

    /// An unsigned number.
    pub(super) fn number(&self, at: usize) -> Result<u64, Failure> {
        match self.values.get(at) {
            Some(Value::UInt(n)) => Ok(*n),
            Some(Value::Int(n)) => u64::try_from(*n).map_err(|_| self.damage(at, "is negative")),
            _ => Err(self.damage(at, "is not a number")),
        }
    }

    pub(super) fn signed(&self, at: usize) -> Result<i64, Failure> {
        match self.values.get(at) {
            Some(Value::Int(n)) => Ok(*n),
            Some(Value::UInt(n)) => i64::try_from(*n).map_err(|_| self.damage(at, "is too large")),
            _ => Err(self.damage(at, "is not a number")),
        }
    }

    pub(super) fn optional_signed(&self, at: usize) -> Result<Option<i64>, Failure> {
        match self.is_null(at) {
            true => Ok(None),
            false => self.signed(at).map(Some),
        }
    }

    pub(super) fn flag(&self, at: usize) -> Result<bool, Failure> {
        match self.number(at)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.damage(at, "is neither 0 nor 1")),
        }
    }

    pub(super) fn hash(&self, at: usize) -> Result<[u8; 32], Failure> {
        let bytes = self.bytes(at)?;
        <[u8; 32]>::try_from(bytes)
            .map_err(|_| self.damage(at, &format!("is {} bytes long instead of 32", bytes.len())))
    }

    pub(super) fn text(&self, at: usize) -> Result<&str, Failure> {
        std::str::from_utf8(self.bytes(at)?).map_err(|_| self.damage(at, "is not UTF-8"))
    }

    pub(super) fn optional_text(&self, at: usize) -> Result<Option<Box<str>>, Failure> {
        match self.is_null(at) {
            true => Ok(None),
            false => self.text(at).map(|text| Some(text.into())),
        }
    }
}
