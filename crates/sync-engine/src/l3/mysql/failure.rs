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

/// Refusals with the state "general error" that are not about the row: disk or memory is full (1021, 1037, 1038, 1041, 1114),
/// the files fail (1026, 1030), too many transactions (1180, 1206, 1637), time is up or the connection is ended (1205, 1969, 3024,
/// 1927, 1053), somebody locks or forbids to write (1192, 1223, 1290, 1792, 1836), the cluster is not ready (1047).
const NOT_THE_ROW: [u16; 21] = [
    1021, 1026, 1030, 1037, 1038, 1041, 1047, 1053, 1114, 1180, 1192, 1205, 1206, 1223, 1290, 1637,
    1792, 1836, 1927, 1969, 3024,
];

/// Refusals of other states that are about the row: it is too long for a page (1118), or for a packet (1153).
const THE_ROW: [u16; 2] = [1118, 1153];

/// Whether an error of the statement that writes rows is about a row, and not about the table, the server or the moment.
fn is_about_row(error: &mysql_async::ServerError) -> bool {
    match error.state.get(..2) {
        // Data, constraints, views with a check, and what triggers signal.
        Some("22" | "23" | "44" | "45") => true,
        Some("HY") => !NOT_THE_ROW.contains(&error.code),
        _ => THE_ROW.contains(&error.code),
    }
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
            (1366, "HY000"),
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
            (1142, "42000"),
            (1317, "70100"),
            (1053, "08S01"),
            (0, ""),
        ] {
            assert!(!is_refused(code, state), "{code} {state}");
        }
    }
}
