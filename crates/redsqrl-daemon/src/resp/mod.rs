//! The Redis-protocol face, the part without sockets: bytes in → [`Command`] → [`Request`],
//! and replies out.
//!
//! It is not a server: nothing here reads a socket, asks the engine or looks at a clock. The
//! one file with an `async fn` is [`stream_wait`], which lets a reader sleep until a stream grows.
//!
//! The rule: no input can make it panic, and every length a client announces is checked against
//! [`Limits`] before anything is kept for it.

pub mod limits;

pub mod protocol_error;

pub mod parse;

pub mod inline;

pub mod command;

pub mod glob;

pub mod streams;

pub mod stream_wait;

pub mod reply;

pub mod encode;

pub use command::{CommandError, Request};
pub use limits::{Limits, StreamLimits};
pub use parse::{Command, Parser};
pub use protocol_error::ProtocolError;
pub use reply::{Proto, Reply};
