//! The Redis-protocol face: bytes in → `Command` → `Request` → the engine, and replies out.
//!
//! The first half knows no socket, engine or clock: it is plain code. The second half, from
//! `shared` on, is the server; its decisions are plain functions too.
//!
//! The rule: no input can make it panic, and every length a client announces is checked against
//! `Limits` before anything is kept for it.

pub mod limits;

pub mod protocol_error;

pub mod parse;

pub mod inline;

pub mod command;

pub mod glob;

pub mod streams;

pub mod stream_wait;

pub mod pieces;

pub mod reply;

pub mod encode;

pub mod shared;

mod special;

mod key_locks;

mod cursors;

mod clients;

mod stats;

pub mod cdc_source;

pub mod mailbox;

mod peer_mail;

mod execute;

mod input;

mod output;

mod connection;

pub mod serve;

pub use command::{CommandError, Request};
pub use limits::{Limits, ServerLimits, StreamLimits};
pub use parse::{Command, Parser};
pub use protocol_error::ProtocolError;
pub use reply::{Proto, Reply};
pub use serve::RespServer;
pub use shared::{RespSettings, RespShared};
