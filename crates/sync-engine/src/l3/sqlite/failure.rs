//! What goes wrong in a database thread, before it is known where it happened.

use std::path::{Path, PathBuf};

use rusqlite::{ErrorCode, ffi};

use crate::l3::ArchiveError;

/// A failure inside a job.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// SQLite said no.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// SQLite does not take a row as it is.
    #[error(transparent)]
    Refused(RowRefused),
    /// Already an error of the archive.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

/// A row that a constraint or a trigger refuses. Its message may quote the row, and is not shown.
#[derive(Debug, thiserror::Error)]
#[error("the row is refused: {code}")]
pub(super) struct RowRefused {
    code: ffi::Error,
    source: rusqlite::Error,
}

/// An error with the file it is about.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", file.display())]
pub(super) struct AtFile<E: std::error::Error + 'static> {
    pub(super) file: PathBuf,
    pub(super) source: E,
}

/// A sentence that is an error.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Because(pub(super) String);

impl Failure {
    /// The failure to write a row.
    pub(super) fn of_row(self) -> Self {
        use ErrorCode::{ConstraintViolation, TooBig, TypeMismatch};
        match self {
            Self::Sqlite(rusqlite::Error::SqliteFailure(code, message))
                if matches!(code.code, ConstraintViolation | TooBig | TypeMismatch) =>
            {
                let source = rusqlite::Error::SqliteFailure(code, message);
                Self::Refused(RowRefused { code, source })
            }
            other => other,
        }
    }

    /// The failure to read a Merkle node.
    pub(super) fn of_node(self) -> Self {
        match self {
            Self::Archive(error) => Self::Archive(error.of_node()),
            other => other,
        }
    }

    /// The archive's error: a malformed file is damage, everything else may pass.
    pub(super) fn during(self, op: &'static str, file: &Path) -> ArchiveError {
        match self {
            Self::Archive(error) => error,
            Self::Refused(source) => ArchiveError::Refused {
                op,
                source: Box::new(AtFile {
                    file: file.to_owned(),
                    source,
                }),
            },
            Self::Sqlite(source) => match source.sqlite_error_code() {
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                    ArchiveError::Damaged {
                        what: file.display().to_string(),
                        source: source.into(),
                    }
                }
                _ => unavailable(op, file, source),
            },
        }
    }
}

/// [`ArchiveError::Unavailable`], naming the file.
pub(super) fn unavailable(
    op: &'static str,
    file: &Path,
    source: impl std::error::Error + Send + Sync + 'static,
) -> ArchiveError {
    ArchiveError::Unavailable {
        op,
        source: Box::new(AtFile {
            file: file.to_owned(),
            source,
        }),
    }
}

/// [`ArchiveError::Damaged`], in words.
pub(super) fn damaged(what: impl Into<String>, how: impl Into<String>) -> ArchiveError {
    ArchiveError::Damaged {
        what: what.into(),
        source: Box::new(Because(how.into())),
    }
}
