//! Stage 8: the other nodes.

pub mod remote;

pub mod link;

pub mod redis;

pub mod memory;

pub use link::{Link, LinkState};
pub use redis::RedisPeers;
pub use remote::{Dialler, Entry, Remote, RemoteError, StreamState};
