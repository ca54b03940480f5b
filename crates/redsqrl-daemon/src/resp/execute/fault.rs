//! Why a command failed, as a reply.

use std::io;

use sync_engine::{EngineState, ErrorKind, InvalidKey, StorageError};

use crate::budget::NoRoom;
use crate::reader::ReadError;
use crate::resp::streams::StreamError;

/// A failed command. Displayed as the whole error reply, code first.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// The engine refused or failed. The code says what to do: `BUSY` slow down, `TRYAGAIN` try
    /// again later, `LOADING` and `SHUTDOWN` wait or go elsewhere, `ERR` do not try again.
    #[error("{code} {0}", code = code(.0))]
    Engine(#[from] StorageError),
    /// A stream refused.
    #[error("{0}")]
    Stream(#[from] StreamError),
    /// A string where a stream is wanted, or the other way round.
    #[error("WRONGTYPE this key holds another kind of value")]
    WrongType,
    /// A write to a key of the node's own.
    #[error("ERR this key is redsqrl's own: clients cannot write it")]
    OwnKey,
    /// A stream under an ordinary key.
    #[error(
        "ERR streams are kept only under redsqrl's own keys (change stream, peers' questions and answers)"
    )]
    NoStreamHere,
    /// A cursor nobody has given out, or that is too old.
    #[error("ERR the cursor is unknown or too old: begin again with 0")]
    Cursor,
    /// Too much is held for clients.
    #[error("BUSY {0}")]
    NoRoom(#[from] NoRoom),
    /// The client is gone, or has to go: nothing can be answered any more.
    #[error("{0}")]
    Gone(#[from] io::Error),
    /// A count beyond what a reply can say.
    #[error("ERR the value is out of range")]
    OutOfRange,
}

impl Fault {
    pub(super) fn key(error: InvalidKey) -> Self {
        Fault::Engine(error.into())
    }

    /// Whether the engine, not the client, is to blame.
    pub(super) fn is_of_engine(&self) -> bool {
        matches!(self, Fault::Engine(error) if error.kind() != ErrorKind::Invalid)
    }
}

impl From<ReadError> for Fault {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Storage(error) => Fault::Engine(error),
            ReadError::NoRoom(error) => Fault::NoRoom(error),
        }
    }
}

fn code(error: &StorageError) -> &'static str {
    match error.kind() {
        ErrorKind::Overloaded => "BUSY",
        ErrorKind::Unavailable => "TRYAGAIN",
        ErrorKind::Invalid => "ERR",
        ErrorKind::Corrupt => "ERR",
        ErrorKind::Closed => match state(error) {
            Some(state) if state < EngineState::Ready => "LOADING",
            _ => "SHUTDOWN",
        },
    }
}

fn state(error: &StorageError) -> Option<EngineState> {
    match error {
        StorageError::Closed { state, .. } => Some(*state),
        StorageError::Shared(error) => state(error),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use sync_engine::{BackpressureLevel, Tier};

    use super::*;

    fn text(error: StorageError) -> String {
        Fault::from(error).to_string()
    }

    #[test]
    fn the_code_says_what_to_do() {
        let busy = StorageError::Overloaded {
            level: BackpressureLevel::Critical,
            what: "too much",
        };
        assert!(text(busy).starts_with("BUSY "));
        let down = || StorageError::unavailable(Tier::Archive, "get", "gone");
        assert!(text(down()).starts_with("TRYAGAIN "));
        let shared = StorageError::Shared(std::sync::Arc::new(down()));
        assert!(text(shared).starts_with("TRYAGAIN "));
        let closed = |state| StorageError::Closed { state, op: "get" };
        assert!(text(closed(EngineState::DrainingWal)).starts_with("LOADING "));
        assert!(text(closed(EngineState::Stopped)).starts_with("SHUTDOWN "));
        let key = Fault::key(InvalidKey::Empty);
        assert!(key.to_string().starts_with("ERR ") && !key.is_of_engine());
    }
}
