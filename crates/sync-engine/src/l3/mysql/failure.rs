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
    /// A row is not taken as it is.
    #[error(transparent)]
    Refused(#[from] RowRefused),
    /// Already an error of the archive.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

/// Why a row cannot be stored. The server's message may quote the row, and is not shown.
#[derive(Debug, thiserror::Error)]
pub(super) enum RowRefused {
    /// By a trigger, a constraint, or a column that was changed.
    #[error("the server refuses the row (error {}, SQLSTATE {})", .0.code, .0.state)]
    Server(#[source] mysql_async::ServerError),
    /// By its size.
    #[error(
        "the row takes about {bytes} bytes and the server's packets have room for {limit}: raise max_allowed_packet on the server"
    )]
    Packet {
        /// Bytes of a packet that it takes.
        bytes: usize,
        /// Bytes of rows that a packet has room for.
        limit: usize,
    },
}

/// Refusals that are about the row whatever their state: it is too long for a page (1118) or a packet (1153), lacks a value
/// (1364), has one that does not fit its column (1366), any partition (1526) or a constraint (3819, 4025), or a trigger says no
/// (1644). What is not named is taken for an outage: servers that speak this protocol report theirs under many numbers.
const THE_ROW: [u16; 8] = [1118, 1153, 1364, 1366, 1526, 1644, 3819, 4025];

/// Whether an error of the statement that writes rows is about a row, and not about the table, the server or the moment.
fn is_about_row(error: &mysql_async::ServerError) -> bool {
    // Data, constraints, views with a check, and what triggers signal.
    let by_state = matches!(error.state.get(..2), Some("22" | "23" | "44" | "45"));
    by_state || THE_ROW.contains(&error.code)
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
    /// The failure of the statement that writes rows.
    pub(super) fn of_rows(self) -> Self {
        match self {
            Self::Driver(mysql_async::Error::Server(error)) if is_about_row(&error) => {
                Self::Refused(RowRefused::Server(error))
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

    /// The archive's error. A deadlock and a lock that was not given are outages: the transaction is gone, and may be tried again.
    pub(super) fn during(self, op: &'static str, database: &str) -> ArchiveError {
        match self {
            Self::Archive(error) => error,
            Self::Late(source) => unavailable(op, database, source),
            Self::Refused(source) => ArchiveError::Refused {
                op,
                source: Box::new(AtServer {
                    database: database.into(),
                    source,
                }),
            },
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
            Self::Refused(_) | Self::Archive(_) => true,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_of_rows_are_told_from_those_of_the_moment() {
        let is_refused = |code, state: &str| {
            is_about_row(&mysql_async::ServerError {
                code,
                message: String::new(),
                state: state.into(),
            })
        };
        for (code, state) in [
            (1406, "22001"),
            (1264, "22003"),
            (4025, "23000"),
            (1644, "45000"),
            (1364, "HY000"),
            (1366, "HY000"),
            (1526, "HY000"),
            (1644, "HY000"),
            (3819, "HY000"),
            (1118, "42000"),
            (1153, "08S01"),
        ] {
            assert!(is_refused(code, state), "{code} {state}");
        }
        for (code, state) in [
            (1205, "HY000"),
            (1213, "40001"),
            (1114, "HY000"),
            (1290, "HY000"),
            (1105, "HY000"),
            (1194, "HY000"),
            (1195, "HY000"),
            (1197, "HY000"),
            (3100, "HY000"),
            (8022, "HY000"),
            (9001, "HY000"),
            (9007, "HY000"),
            (1142, "42000"),
            (1317, "70100"),
            (1053, "08S01"),
            (0, ""),
        ] {
            assert!(!is_refused(code, state), "{code} {state}");
        }
    }
}
