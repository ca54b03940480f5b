//! redsqrl-daemon: one node, that is storage, replication, HTTP and the Redis protocol, in one program.
//!
//! It is a library only so that it can be tested; the program is `main.rs`.
#![deny(missing_docs, unsafe_code, clippy::unwrap_used, clippy::expect_used)]
// A program: it may look at clocks and start tasks.
#![allow(clippy::disallowed_methods)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

/// Settings.
pub mod config;

/// Items in files, one a line.
pub mod ndjson;

/// Bounds on what clients make the node hold.
pub mod limits;

/// Room that clients share.
pub mod budget;

/// How slow a client may be.
pub mod pace;

/// Reading items within the budget.
pub mod reader;

/// The HTTP face.
pub mod http;

/// Logs and metrics.
pub mod telemetry;

/// The Redis protocol.
pub mod resp;

/// One node, put together.
pub mod node;

/// Signals.
pub mod shutdown;

/// A mesh to look at.
pub mod demo;

/// The command line.
pub mod cli;
