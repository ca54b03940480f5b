//! What goes wrong at the server, before it is known where it happened.

use crate::env::Elapsed;
use crate::l3::ArchiveError;

/// The tables that are missing or have other columns than this program wrote: "no such table", "no such column".
const OTHER_TABLES: [u16; 2] = [1146, 1054];

/// A failure inside an operation.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The driver or the server said no.
    #[error(transparent)]
    Driver(#[from] mysql_async::Error),
    /// No answer in time.
    #[error(transparent)]
    Late(#[from] Elapsed),
    /// Already an error of the archive.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

/// An error with the database it is about: host, port and name, never the URL.
#[derive(Debug, thiserror::Error)]
#[error("{database}: {source}")]
struct AtServer<E: std::error::Error + 'static> {
    database: String,
    source: E,
}

/// A sentence that is an error.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Because(pub(super) String);

impl Failure {
    /// The failure to read a Merkle node.
    pub(super) fn of_node(self) -> Self {
        match self {
            Self::Archive(error) => Self::Archive(error.of_node()),
            other => other,
        }
    }

    /// The archive's error. A deadlock and a lock that was not given are outages: the transaction is gone, and may be tried again.
    pub(super) fn during(self, op: &'static str, database: &str) -> ArchiveError {
        match self {
            Self::Archive(error) => error,
            Self::Late(source) => unavailable(op, database, source),
            Self::Driver(mysql_async::Error::Server(source))
                if OTHER_TABLES.contains(&source.code) =>
            {
                ArchiveError::Damaged {
                    what: format!("database {database}"),
                    source: Box::new(source),
                }
            }
            Self::Driver(source) => unavailable(op, database, source),
        }
    }

    /// Whether the connection is still good: the server answered, with a refusal.
    pub(super) fn leaves_connection(&self) -> bool {
        match self {
            Self::Driver(error) => !error.is_fatal(),
            Self::Late(_) => false,
            Self::Archive(_) => true,
        }
    }
}

/// [`ArchiveError::Unavailable`], naming the database.
pub(super) fn unavailable(
    op: &'static str,
    database: &str,
    source: impl std::error::Error + Send + Sync + 'static,
) -> ArchiveError {
    ArchiveError::Unavailable {
        op,
        source: Box::new(AtServer {
            database: database.into(),
            source,
        }),
    }
}

/// [`ArchiveError::Damaged`], in words.
pub(super) fn damaged(what: impl Into<String>, how: impl Into<String>) -> Failure {
    Failure::Archive(ArchiveError::Damaged {
        what: what.into(),
        source: Box::new(Because(how.into())),
    })
}
