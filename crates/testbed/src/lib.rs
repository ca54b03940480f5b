//! Private real servers for tests: Redis, MariaDB and PostgreSQL, each on a loopback port and in a directory of its
//! own, plus a server that says what a test wants, a proxy that breaks the network on request, and the project's sample
//! of real data.
//!
//! It is not a product crate: nothing that ships depends on it. A server that is not installed is an error that says
//! what to install, never a skipped test. Whatever a test starts dies with it: on drop, and by a signal from the kernel
//! when the test process itself is killed.
//!
//! ```
//! let redis = testbed::RedisServer::start()?;
//! assert!(redis.url().starts_with("redis://127.0.0.1:"));
//! # Ok::<(), testbed::TestbedError>(())
//! ```
#![deny(missing_docs)]
#![allow(clippy::disallowed_methods)] // real clocks, threads and tasks are what this crate is for

/// What can go wrong, always with what to do about it.
mod error;

/// Where the machine keeps the servers' programs.
mod program;

/// Whom a server runs as when the tests run as root.
mod account;

/// The directory in which test processes of one user share templates and port leases.
mod shared_dir;

/// Loopback ports nobody else takes.
mod port;

/// Starting a child that dies with this process.
mod launch;

/// Signals to a server and to the processes it forked.
mod signal;

/// One running server: start, kill, restart, pause, resume.
mod server_process;

/// Freshly initialised data directories, made once and copied.
mod template;

/// What the SQL servers have in common.
mod sql_server;

/// The three servers.
mod mariadb;
mod postgres;
mod redis;

/// A server that says what a test wants.
mod fake_redis;

/// The network between a client and a server, with faults.
mod proxy;

/// The sample data.
mod cities;

pub use cities::cities;
pub use error::TestbedError;
pub use fake_redis::{Answer, FakeRedis};
pub use mariadb::MariaDb;
pub use port::free_port;
pub use postgres::Postgres;
pub use proxy::{Fault, FaultyProxy};
pub use redis::RedisServer;
pub use server_process::ServerProcess;
pub use sql_server::SqlServer;

/// The name of the user, and of the first database, on every SQL server.
pub const USER: &str = "redsqrl";

/// The password of [`USER`]: odd enough to be searched for in logs, errors and pages.
pub const PASSWORD: &str = "s3cret-of-the-testbed";
