//! Stage 7: the change stream, from which peers learn of this node's writes.

use async_trait::async_trait;

use crate::error::Source;
use crate::item::Stored;

pub use crate::link::keys;

pub mod stream_id;

pub mod event;

pub mod compress;

pub mod codec;

mod ring;

pub mod memory;

pub mod redis;

pub mod absent;

/// The stream did not take an entry.
#[derive(Debug, thiserror::Error)]
#[error("publishing to the change stream: {0}")]
pub struct PublishError(#[source] pub Source);

/// Where this node's changes are published.
///
/// Contract: entries of one call are adjacent and in order; each entry carries the stream's epoch and the next number of
/// that epoch, without gaps, so that a reader notices whatever it missed. After an error the entries may or may not be
/// there; publishing them again is harmless.
#[async_trait]
pub trait ChangeLog: Send + Sync {
    /// Publishes the writes.
    async fn publish(&self, changes: &[Stored]) -> Result<(), PublishError>;

    /// Begins a new epoch: changes were lost before they could be published, and readers must compare instead.
    async fn new_epoch(&self);

    /// Publishes the root of the tree where peers read it with one GET.
    async fn publish_root(&self, root: &str) -> Result<(), PublishError>;

    /// Takes away a root that an earlier run published: peers would take it for the present one. Does nothing where
    /// no root outlives its process.
    async fn withdraw_root(&self) -> Result<(), PublishError> {
        Ok(())
    }

    /// Whether anything is published at all.
    fn is_enabled(&self) -> bool;
}
