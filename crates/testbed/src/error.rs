use std::{io, path::Path, process::ExitStatus, time::Duration};

/// Why the testbed could not do what a test asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TestbedError {
    /// A server's program is not installed.
    #[error(
        "`{program}` was not found in {searched}; it is in the Debian package `{package}`: apt-get install {package}"
    )]
    MissingProgram {
        /// The program looked for.
        program: &'static str,
        /// The Debian package that holds it.
        package: &'static str,
        /// The directories looked into, separated by colons.
        searched: String,
    },

    /// The tests run as root, the server refuses to, and the account it should run as does not exist.
    #[error(
        "the system account `{account}` does not exist; the Debian package `{package}` creates it: apt-get install {package}"
    )]
    MissingAccount {
        /// The account looked for.
        account: &'static str,
        /// The Debian package that creates it.
        package: &'static str,
    },

    /// A server ended before it answered.
    #[error("{server} ended while starting ({status}); the end of its log:\n{log}")]
    Ended {
        /// Which server.
        server: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// The last lines it wrote.
        log: String,
    },

    /// A server runs but did not answer in time.
    #[error("{server} did not answer within {waited:?}; the end of its log:\n{log}")]
    Silent {
        /// Which server.
        server: &'static str,
        /// How long it was given.
        waited: Duration,
        /// The last lines it wrote.
        log: String,
    },

    /// A server is to be paused or resumed but was killed before.
    #[error("{server} is not running")]
    NotRunning {
        /// Which server.
        server: &'static str,
    },

    /// A program that does one thing and ends (a client, an initialiser) failed.
    #[error("`{program}` failed ({status}): {output}")]
    Failed {
        /// Which program.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// What it wrote to its standard error.
        output: String,
    },

    /// A server answered something other than was expected.
    #[error("{server} answered {answer:?} to {question:?}")]
    Answer {
        /// Which server.
        server: &'static str,
        /// What was asked.
        question: String,
        /// What came back.
        answer: String,
    },

    /// Every port tried was taken.
    #[error("no free loopback port after {tries} tries")]
    NoFreePort {
        /// How many ports were tried.
        tries: u32,
    },

    /// The shared directory exists but belongs to somebody else.
    #[error("`{path}` belongs to another user; remove it or set TMPDIR")]
    ForeignDirectory {
        /// The directory.
        path: String,
    },

    /// A line of the sample data is not what `data/README.md` says.
    #[error("data/cities.ndjson.zst, line {line}")]
    Cities {
        /// The line, counted from 1.
        line: usize,
        /// What the JSON parser said.
        source: serde_json::Error,
    },

    /// The operating system refused something.
    #[error("could not {action}")]
    Io {
        /// What was tried, on what.
        action: String,
        /// What the system said.
        source: io::Error,
    },
}

/// Says what an I/O error was about.
pub(crate) trait During<T> {
    /// Adds what was tried: "could not `action`".
    fn during(self, action: impl Into<String>) -> Result<T, TestbedError>;

    /// Adds what was tried, and on which path.
    fn on(self, action: &str, path: &Path) -> Result<T, TestbedError>;
}

impl<T> During<T> for io::Result<T> {
    fn during(self, action: impl Into<String>) -> Result<T, TestbedError> {
        self.map_err(|source| TestbedError::Io {
            action: action.into(),
            source,
        })
    }

    fn on(self, action: &str, path: &Path) -> Result<T, TestbedError> {
        self.map_err(|source| TestbedError::Io {
            action: format!("{action} {}", path.display()),
            source,
        })
    }
}
