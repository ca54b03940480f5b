//! What can go wrong with a Redis.

use redis::RedisError;

use super::meter::ReplyTooLarge;

/// The answers of a server that is full, a replica, unable to save, or without enough replicas: it refuses writes alone.
const READ_ONLY: [&str; 4] = ["OOM", "READONLY", "MISCONF", "NOREPLICAS"];

/// Redis did not do what it was asked, or did not say so. Never shows a password.
#[derive(Debug, thiserror::Error)]
#[error("{server}: {source}")]
pub struct LinkError {
    /// Host and port.
    server: String,
    /// Whether nothing was sent, so that certainly nothing was done.
    is_unsent: bool,
    too_large: Option<ReplyTooLarge>,
    source: RedisError,
}

impl LinkError {
    pub(super) fn new(server: &str, source: RedisError, is_unsent: bool) -> Self {
        Self {
            server: server.to_owned(),
            is_unsent,
            too_large: None,
            source,
        }
    }

    /// The connection was given up because of this reply.
    pub(super) fn overrun(server: &str, too_large: &ReplyTooLarge) -> Self {
        let source = std::io::Error::new(std::io::ErrorKind::InvalidData, too_large.clone());
        Self {
            server: server.to_owned(),
            is_unsent: false,
            too_large: Some(too_large.clone()),
            source: source.into(),
        }
    }

    /// Whether certainly nothing was done.
    pub fn is_unsent(&self) -> bool {
        self.is_unsent
    }

    /// Whether the server answered that it takes no writes now, while it can be read.
    pub fn is_read_only(&self) -> bool {
        let code = self.source.code();
        code.is_some_and(|code| READ_ONLY.contains(&code))
    }

    /// The reply that was too large to be read: this request's, or that of another one under way at the same time, as all
    /// of them share the connection that was given up for it.
    pub fn too_large(&self) -> Option<&ReplyTooLarge> {
        self.too_large.as_ref()
    }
}
