//! No change stream.

use async_trait::async_trait;

use super::{ChangeLog, PublishError};
use crate::item::Stored;

/// The stream of an engine with `enable_cdc_stream: false`.
#[derive(Clone, Copy, Debug, Default)]
pub struct AbsentLog;

#[async_trait]
impl ChangeLog for AbsentLog {
    async fn publish(&self, _changes: &[Stored]) -> Result<(), PublishError> {
        Ok(())
    }

    async fn new_epoch(&self) {}

    async fn publish_root(&self, _root: &str) -> Result<(), PublishError> {
        Ok(())
    }

    fn is_enabled(&self) -> bool {
        false
    }
}
