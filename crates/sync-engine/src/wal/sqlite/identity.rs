//! Whose file it is, before anything touches it.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::layout::{APPLICATION_ID, LAYOUT};
use crate::wal::WalError;

/// First bytes of every SQLite file.
const SQLITE: &[u8] = b"SQLite format 3\0";
/// A sentence that is the whole cause.
#[derive(Debug, thiserror::Error)]
enum NotALog {
    #[error("it is not a SQLite file; it was left as it is")]
    NotSqlite,
    #[error(
        "it is a SQLite file of something else, not a log of this engine; it was left as it is"
    )]
    Foreign,
    #[error("it has layout {0}, and this program knows layout {LAYOUT}; it was left as it is")]
    Later(u32),
}

/// Whether there is a log; an error when there is something else. Looks at the bytes, so that nothing is changed.
pub fn is_log(path: &Path) -> Result<bool, WalError> {
    let mut head = Vec::new();
    match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        opened => opened?.take(100).read_to_end(&mut head)?,
    };
    if head.is_empty() {
        return Ok(false);
    }
    let word = |at: usize| {
        let bytes = head.get(at..).and_then(|rest| rest.first_chunk::<4>());
        bytes.map(|bytes| u32::from_be_bytes(*bytes))
    };
    let fault = if !head.starts_with(SQLITE) {
        NotALog::NotSqlite
    } else if word(68) != Some(APPLICATION_ID) {
        NotALog::Foreign
    } else {
        match word(60) {
            Some(LAYOUT) => return Ok(true),
            other => NotALog::Later(other.unwrap_or_default()),
        }
    };
    Err(WalError::Damaged {
        path: path.display().to_string(),
        source: Box::new(fault),
    })
}
