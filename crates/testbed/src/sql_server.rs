use std::{
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use crate::{PASSWORD, USER, error::TestbedError, server_process::ServerProcess};

/// A server's own command line client.
pub(crate) trait Client: Send + Sync {
    /// Runs SQL and returns what the client prints.
    fn run(&self, database: &str, statement: &str) -> Result<String, TestbedError>;
}

/// A private SQL server with one user and a database of that user's.
pub struct SqlServer {
    scheme: &'static str,
    process: ServerProcess,
    client: Arc<dyn Client>,
    databases: AtomicU32,
}

impl SqlServer {
    /// `scheme` is what the server's URLs begin with.
    pub(crate) fn new(
        scheme: &'static str,
        process: ServerProcess,
        client: Arc<dyn Client>,
    ) -> Self {
        SqlServer {
            scheme,
            process,
            client,
            databases: AtomicU32::new(0),
        }
    }

    /// `SCHEME://USER:PASSWORD@127.0.0.1:PORT/redsqrl`.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of(USER)
    }

    /// Creates an empty database and returns its URL, so that tests can share the server.
    ///
    /// # Errors
    /// When the server is down.
    pub fn fresh_database(&self) -> Result<String, TestbedError> {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("{USER}_{number}");
        self.sql(USER, &format!("CREATE DATABASE {name}"))?;
        Ok(self.url_of(&name))
    }

    /// Runs SQL behind the back of the code under test and returns the rows, one a line as the server's command line
    /// client prints them: tabs between the columns (`mariadb`) or `|` (`psql`). The database is given by name or by a
    /// URL that ends in it.
    ///
    /// # Errors
    /// When the server is down or refuses the statement, with its words.
    pub fn sql(&self, database: &str, statement: &str) -> Result<String, TestbedError> {
        self.client.run(database_of(database), statement)
    }

    fn url_of(&self, database: &str) -> String {
        let (scheme, addr) = (self.scheme, self.addr());
        format!("{scheme}://{USER}:{PASSWORD}@{addr}/{database}")
    }
}

impl Deref for SqlServer {
    type Target = ServerProcess;

    fn deref(&self) -> &ServerProcess {
        &self.process
    }
}

/// The database's name out of a URL; a bare name is returned as it is.
fn database_of(url: &str) -> &str {
    let without_options = url.split('?').next().unwrap_or(url);
    without_options.rsplit('/').next().unwrap_or(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_named_by_url_or_by_name() {
        assert_eq!(
            database_of("mysql://u:p@127.0.0.1:1/redsqrl_3"),
            "redsqrl_3"
        );
        assert_eq!(database_of("postgres://u:p@h/db?sslmode=disable"), "db");
        assert_eq!(database_of("redsqrl"), "redsqrl");
    }
}
