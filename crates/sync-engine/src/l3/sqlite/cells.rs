//! Cells of a row of SQLite.

use rusqlite::Row;
use rusqlite::types::ValueRef;

use super::failure::{Failure, damaged};
use super::schema::unordered;
use crate::l3::columns::Cells;

/// A row of a table.
pub(super) struct RowCells<'a> {
    row: &'a Row<'a>,
    table: &'static str,
}

impl<'a> RowCells<'a> {
    pub(super) fn new(table: &'static str, row: &'a Row<'a>) -> Self {
        Self { row, table }
    }

    fn unfit(&self, at: usize, value: ValueRef, wanted: &str) -> Failure {
        self.damage(at, &format!("is {} instead of {wanted}", value.data_type()))
    }
}

impl Cells for RowCells<'_> {
    type Failure = Failure;

    fn damage(&self, at: usize, problem: &str) -> Failure {
        let key = match self.row.get_ref(0) {
            Ok(ValueRef::Text(bytes) | ValueRef::Blob(bytes)) => String::from_utf8_lossy(bytes),
            _ => "?".into(),
        };
        let column = self.row.as_ref().column_name(at).unwrap_or("?");
        damaged(
            format!("table {}, key {key:?}", self.table),
            format!("the column {column} {problem}"),
        )
        .into()
    }

    fn is_null(&self, at: usize) -> Result<bool, Failure> {
        Ok(self.row.get_ref(at)? == ValueRef::Null)
    }

    fn number(&self, at: usize) -> Result<u64, Failure> {
        self.signed(at).map(i64::cast_unsigned)
    }

    fn ordered(&self, at: usize) -> Result<u64, Failure> {
        self.signed(at).map(unordered)
    }

    fn signed(&self, at: usize) -> Result<i64, Failure> {
        match self.row.get_ref(at)? {
            ValueRef::Integer(n) => Ok(n),
            other => Err(self.unfit(at, other, "an integer")),
        }
    }

    fn blob(&self, at: usize) -> Result<&[u8], Failure> {
        match self.row.get_ref(at)? {
            ValueRef::Blob(bytes) => Ok(bytes),
            other => Err(self.unfit(at, other, "a blob")),
        }
    }

    fn take_blob(&mut self, at: usize) -> Result<Vec<u8>, Failure> {
        self.blob(at).map(<[u8]>::to_vec)
    }

    fn text_bytes(&self, at: usize) -> Result<&[u8], Failure> {
        match self.row.get_ref(at)? {
            ValueRef::Text(bytes) => Ok(bytes),
            other => Err(self.unfit(at, other, "text")),
        }
    }
}
