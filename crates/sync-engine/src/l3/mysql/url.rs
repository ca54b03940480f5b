//! Archive URLs that name a MySQL or MariaDB database.

use mysql_async::{Opts, OptsBuilder, UrlError};

use crate::config::BackendUrl;

/// Why a URL does not name a database. Shows nothing of the URL: where it is malformed, any part of it may be the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMysqlUrl {
    /// Another scheme.
    #[error(
        "it is not a MySQL URL: write mysql://USER:PASSWORD@HOST:PORT/DATABASE (or mariadb://…)"
    )]
    NotMysql,
    /// The URL cannot be taken apart.
    #[error(
        "the MySQL URL is malformed: write mysql://USER:PASSWORD@HOST:PORT/DATABASE, and the characters : / ? # @ % in a password as %3A %2F %3F %23 %40 %25"
    )]
    Malformed,
    /// The database is missing.
    #[error("the MySQL URL names no database: write mysql://USER:PASSWORD@HOST:PORT/DATABASE")]
    NoDatabase,
    /// There is something behind a question mark.
    #[error("the MySQL URL has parameters, and none is understood: leave them out")]
    Parameters,
}

/// Where to connect, in the driver's words and in ours.
#[derive(Clone)]
pub(super) struct Address {
    /// With the password.
    pub(super) opts: OptsBuilder,
    /// `HOST:PORT/DATABASE`.
    pub(super) shown: String,
}

/// Reads `mysql://…` and `mariadb://…`.
pub(super) fn address(url: &BackendUrl) -> Result<Address, InvalidMysqlUrl> {
    let url = url.expose();
    let Some(rest) = ["mysql://", "mariadb://"]
        .iter()
        .find_map(|s| url.strip_prefix(s))
    else {
        return Err(InvalidMysqlUrl::NotMysql);
    };
    // The driver's errors quote values out of the URL, so they end here.
    let opts = Opts::from_url(&format!("mysql://{rest}")).map_err(|error| match error {
        UrlError::Parse(_) | UrlError::Invalid => InvalidMysqlUrl::Malformed,
        _ => InvalidMysqlUrl::Parameters,
    })?;
    if rest.contains(['?', '#']) {
        return Err(InvalidMysqlUrl::Parameters);
    }
    let Some(database) = opts.db_name() else {
        return Err(InvalidMysqlUrl::NoDatabase);
    };
    let shown = format!("{}:{}/{database}", opts.ip_or_hostname(), opts.tcp_port());
    Ok(Address {
        opts: OptsBuilder::from_opts(opts),
        shown,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_databases() {
        for (url, shown) in [
            ("mysql://u:p@h:3307/db", "h:3307/db"),
            ("mariadb://u:p%3F%40@h/db", "h:3306/db"),
            ("mysql://h/db", "h:3306/db"),
        ] {
            assert_eq!(
                address(&url.into()).ok().map(|a| a.shown).as_deref(),
                Some(shown)
            );
        }
    }

    #[test]
    fn other_urls_are_refused_without_a_word_of_the_password() {
        for (url, error) in [
            ("redis://me:s3cret@h/0", InvalidMysqlUrl::NotMysql),
            ("mysql://me:s3cret@h", InvalidMysqlUrl::NoDatabase),
            (
                "mysql://me:s3cret@h/db?s3cret=1",
                InvalidMysqlUrl::Parameters,
            ),
            (
                "mysql://me:s3cret@h/db?pool_min=s3cret",
                InvalidMysqlUrl::Parameters,
            ),
            ("mysql://me:s3cret@h:port/db", InvalidMysqlUrl::Malformed),
            ("mysql://me:s3/cret@h/db", InvalidMysqlUrl::Malformed),
        ] {
            let refused = address(&url.into()).err();
            assert_eq!(refused, Some(error), "{url}");
            assert!(!format!("{error} {error:?}").contains("s3"));
        }
    }
}
