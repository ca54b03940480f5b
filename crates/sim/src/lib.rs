//! A whole mesh in one thread: the engines' real code on virtual time, with faults drawn from a seed, and an oracle that
//! checks the invariants while it runs and after everything was mended.
//!
//! The same seed gives the same run, to the last poll; `cargo xtask sim --seed N` plays it and prints its log.
#![deny(missing_docs, clippy::disallowed_methods)]
#![forbid(unsafe_code)]

pub mod exec;

pub mod env;

pub mod log;

pub mod wal;

pub mod sql;

pub mod redis;

mod cache;

pub mod stream;

pub mod post;

pub mod cursors;

pub mod net;

pub mod node;

pub mod oracle;

pub mod private;

pub mod workload;

pub mod script;

pub mod run;

mod check;
