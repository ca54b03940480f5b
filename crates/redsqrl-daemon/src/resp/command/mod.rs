//! Commands: what a request asks for, decoded and checked once, so that the server only acts.
//!
//! It is not the place of permission or state: whether a client may, whether the database
//! number exists, whether the key does, the server finds out.

mod args;
mod credentials;
pub mod describe;
mod error;
mod keys;
mod server;
mod session;
mod streams;
mod strings;
mod table;
#[cfg(test)]
mod tests;

use bytes::Bytes;

pub use credentials::Credentials;
pub use error::{ArgsPreview, CommandError};
pub use keys::{Expire, ExpireIf, Scan};
pub use server::CommandQuery;
pub use session::{ClientCommand, Hello, ReplyMode};
pub use streams::{Block, XRange, XRead};
pub use strings::{Expiry, Lifetime, Set, SetIf, SetReply};
pub use table::{CommandSpec, TABLE, find};

use super::parse::Command;
use super::streams::{Append, StreamId, Trim};

/// A command understood. The variants carry the name of the command they come from; several
/// spellings of one thing (SETEX, PSETEX, SETNX, GETSET) become one variant.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "a variant is the command of its name")]
pub enum Request {
    Ping(Option<Bytes>),
    Echo(Bytes),
    Hello(Hello),
    Auth(Credentials),
    /// The number is any; whether there is such a database is the server's to say.
    Select(i64),
    Client(ClientCommand),
    Quit,
    Reset,

    Get(Bytes),
    Set(Set),
    MGet(Vec<Bytes>),
    MSet(Vec<(Bytes, Bytes)>),
    GetDel(Bytes),
    StrLen(Bytes),

    /// DEL and UNLINK.
    Del(Vec<Bytes>),
    /// A key named twice counts twice.
    Exists(Vec<Bytes>),
    /// Seconds left.
    Ttl(Bytes),
    /// Milliseconds left.
    PTtl(Bytes),
    /// Seconds since 1970 at which it ends.
    ExpireTime(Bytes),
    /// Milliseconds since 1970 at which it ends.
    PExpireTime(Bytes),
    /// EXPIRE, PEXPIRE, EXPIREAT and PEXPIREAT.
    Expire(Expire),
    Persist(Bytes),
    Type(Bytes),
    Scan(Scan),

    DbSize,
    /// The sections asked for; none: the default ones.
    Info(Vec<Bytes>),
    Command(CommandQuery),
    /// CONFIG GET: patterns for the names, in lower case.
    ConfigGet(Vec<super::glob::Glob>),

    XAdd(Append),
    /// XRANGE and XREVRANGE.
    XRange(XRange),
    XRead(XRead),
    XLen(Bytes),
    XDel {
        key: Bytes,
        ids: Vec<StreamId>,
    },
    XTrim {
        key: Bytes,
        trim: Trim,
    },
    XInfoStream(Bytes),
}

/// Decodes a command. The name is compared without regard to case.
///
/// # Errors
/// Unknown, wrong number of arguments, or arguments that mean nothing: the display of the error
/// is the error reply. Only after [`CommandError::NotRedis`] the connection is closed.
pub fn decode(command: Command) -> Result<Request, CommandError> {
    let Some(spec) = find(&command.name) else {
        return Err(CommandError::unknown(&command));
    };
    if !spec.accepts(command.args.len()) {
        return Err(CommandError::WrongArity(spec.name));
    }
    spec.decode(args::Args::new(command.args))
}
