//! Why a command is refused.

use std::fmt;

use super::super::parse::Command;
use super::super::streams::{BoundError, InvalidStreamId};

/// Displayed as the whole error reply, code first, in the words of Redis. The display may
/// repeat what the client sent: it goes to that client, not into a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// Too few or too many arguments. Subcommands are named `client|setname`.
    #[error("ERR wrong number of arguments for '{0}' command")]
    WrongArity(&'static str),
    /// No such command.
    #[error("ERR unknown command '{name}', with args beginning with: {args}")]
    Unknown {
        /// As the client spelt it, at most 128 bytes.
        name: String,
        /// The first arguments, quoted.
        args: ArgsPreview,
    },
    /// No such subcommand.
    #[error("ERR unknown subcommand '{sub}'. Try {container} HELP.")]
    UnknownSubcommand {
        /// CLIENT, CONFIG, …
        container: &'static str,
        /// As the client spelt it.
        sub: String,
    },
    /// The request is a line of HTTP: a browser was tricked into talking to this port. Close the
    /// connection, or the body is taken for commands.
    #[error("ERR this port speaks the Redis protocol, not HTTP")]
    NotRedis,
    /// An option that is unknown, incomplete, or at odds with another.
    #[error("ERR syntax error")]
    Syntax,
    /// A number was expected.
    #[error("ERR value is not an integer or out of range")]
    NotAnInteger,
    /// A lifetime that is not positive or too long to compute with.
    #[error("ERR invalid expire time in '{0}' command")]
    InvalidExpire(&'static str),
    /// An option of EXPIRE that is unknown.
    #[error("ERR Unsupported option {0}")]
    UnsupportedOption(String),
    /// An option of HELLO that is unknown or incomplete.
    #[error("ERR Syntax error in HELLO option '{0}'")]
    HelloOption(String),
    /// A stream id, or a bound of a stream range, that is none.
    #[error(transparent)]
    Bound(#[from] BoundError),
    /// Refused for a reason no program acts on; the text is the reply.
    #[error("{0}")]
    Refused(&'static str),
}

impl From<InvalidStreamId> for CommandError {
    fn from(error: InvalidStreamId) -> Self {
        CommandError::Bound(error.into())
    }
}

/// The first arguments of an unknown command, for its sender's eyes.
#[derive(Clone, PartialEq, Eq)]
pub struct ArgsPreview(String);

impl fmt::Display for ArgsPreview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ArgsPreview {
    /// A mistyped AUTH is an unknown command with a password: Debug does not show it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Most of a name, or of all arguments together, that is repeated to the client.
const PREVIEW_BYTES_MAX: usize = 128;

impl CommandError {
    pub(super) fn unknown(command: &Command) -> Self {
        let name = command.name.as_ref();
        if name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:") {
            return CommandError::NotRedis;
        }
        let mut args = String::new();
        for arg in &command.args {
            let room = PREVIEW_BYTES_MAX.saturating_sub(args.len());
            if room == 0 {
                break;
            }
            args.push_str(&format!("'{}' ", preview(arg, room)));
        }
        CommandError::Unknown {
            name: preview(name, PREVIEW_BYTES_MAX),
            args: ArgsPreview(args),
        }
    }

    pub(super) fn unknown_subcommand(container: &'static str, sub: &[u8]) -> Self {
        let sub = preview(sub, PREVIEW_BYTES_MAX);
        CommandError::UnknownSubcommand { container, sub }
    }
}

/// The beginning of `bytes` as text.
pub(super) fn preview(bytes: &[u8], bytes_max: usize) -> String {
    let shown = bytes.get(..bytes_max).unwrap_or(bytes);
    String::from_utf8_lossy(shown).into_owned()
}
