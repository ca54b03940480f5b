//! Cells of a row of the server.

use mysql_async::Value;

use super::failure::{Failure, damaged};
use crate::l3::columns::Cells;

/// A row of a table.
pub(super) struct RowCells {
    table: &'static str,
    values: Vec<Value>,
}

impl RowCells {
    pub(super) fn new(table: &'static str, values: Vec<Value>) -> Self {
        Self { table, values }
    }

    /// The bytes as text for a message.
    pub(super) fn lossy(&self, at: usize) -> String {
        String::from_utf8_lossy(self.blob(at).unwrap_or(b"?")).into_owned()
    }
}

impl Cells for RowCells {
    type Failure = Failure;

    fn damage(&self, at: usize, problem: &str) -> Failure {
        damaged(
            format!("table {}, key {:?}", self.table, self.lossy(0)),
            format!("column {at} {problem}"),
        )
    }

    fn is_null(&self, at: usize) -> Result<bool, Failure> {
        Ok(matches!(self.values.get(at), Some(Value::NULL)))
    }

    fn number(&self, at: usize) -> Result<u64, Failure> {
        match self.values.get(at) {
            Some(Value::UInt(n)) => Ok(*n),
            Some(Value::Int(n)) => u64::try_from(*n).map_err(|_| self.damage(at, "is negative")),
            _ => Err(self.damage(at, "is not a number")),
        }
    }

    fn ordered(&self, at: usize) -> Result<u64, Failure> {
        self.number(at)
    }

    fn signed(&self, at: usize) -> Result<i64, Failure> {
        match self.values.get(at) {
            Some(Value::Int(n)) => Ok(*n),
            Some(Value::UInt(n)) => i64::try_from(*n).map_err(|_| self.damage(at, "is too large")),
            _ => Err(self.damage(at, "is not a number")),
        }
    }

    fn blob(&self, at: usize) -> Result<&[u8], Failure> {
        match self.values.get(at) {
            Some(Value::Bytes(bytes)) => Ok(bytes),
            _ if at == 0 => Err(damaged(
                format!("table {}", self.table),
                "a key is not bytes",
            )),
            _ => Err(self.damage(at, "is not bytes")),
        }
    }

    fn take_blob(&mut self, at: usize) -> Result<Vec<u8>, Failure> {
        match self.values.get_mut(at) {
            Some(Value::Bytes(bytes)) => Ok(std::mem::take(bytes)),
            _ => Err(self.damage(at, "is not bytes")),
        }
    }

    fn text_bytes(&self, at: usize) -> Result<&[u8], Failure> {
        self.blob(at)
    }
}
