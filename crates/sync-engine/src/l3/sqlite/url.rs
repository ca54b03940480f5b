//! Archive URLs that name a file.

use std::path::PathBuf;

use crate::config::BackendUrl;

/// Why a URL does not name an archive file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSqliteUrl {
    /// Another scheme.
    #[error("{url} is not an SQLite URL: write sqlite:PATH or sqlite://PATH")]
    NotSqlite {
        /// The URL, without secrets.
        url: String,
    },
    /// No path behind the scheme.
    #[error("the SQLite URL names no file: write sqlite:PATH")]
    NoPath,
    /// A database in memory would lose what it was given.
    #[error(
        "an SQLite database in memory is no archive: write sqlite:PATH, or leave the URL out to run without one"
    )]
    InMemory,
    /// A parameter that nothing reads.
    #[error(
        "the SQLite URL has parameters that nothing reads (only mode=rwc is accepted): leave them out"
    )]
    Parameters,
}

/// The path in `sqlite:PATH` or `sqlite://PATH`, taken as it stands (no percent-decoding).
///
/// `?mode=rwc` behind it is accepted, because it says what happens anyway.
pub fn path_of_url(url: &BackendUrl) -> Result<PathBuf, InvalidSqliteUrl> {
    let Some(rest) = url.expose().strip_prefix("sqlite:") else {
        return Err(InvalidSqliteUrl::NotSqlite {
            url: url.to_string(),
        });
    };
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let (path, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    match (path, parameters) {
        ("", _) => Err(InvalidSqliteUrl::NoPath),
        (":memory:", _) => Err(InvalidSqliteUrl::InMemory),
        (_, "" | "mode=rwc") => Ok(path.into()),
        _ => Err(InvalidSqliteUrl::Parameters),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_files() {
        for (url, path) in [
            ("sqlite:a.db", "a.db"),
            ("sqlite://a/b.db", "a/b.db"),
            ("sqlite:///var/a.db", "/var/a.db"),
            ("sqlite:/var/a.db?mode=rwc", "/var/a.db"),
        ] {
            assert_eq!(path_of_url(&url.into()), Ok(path.into()), "{url}");
        }
    }

    #[test]
    fn other_urls_are_refused_with_a_reason() {
        for (url, error) in [
            ("sqlite:", InvalidSqliteUrl::NoPath),
            ("sqlite://", InvalidSqliteUrl::NoPath),
            ("sqlite::memory:", InvalidSqliteUrl::InMemory),
            ("sqlite://:memory:", InvalidSqliteUrl::InMemory),
            ("sqlite:a.db?mode=ro", InvalidSqliteUrl::Parameters),
        ] {
            assert_eq!(path_of_url(&url.into()), Err(error), "{url}");
        }
        let shown = path_of_url(&"mysql://me:secret@h/db".into())
            .unwrap_err()
            .to_string();
        assert!(shown.contains("mysql://me:***@h/db"), "{shown}");
    }
}
