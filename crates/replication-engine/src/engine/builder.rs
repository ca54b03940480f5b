//! Putting an engine together.

use std::sync::Arc;

use tokio::sync::watch;

use super::ReplicationEngine;
use crate::apply::{AbsentStore, SyncEngineRef};
use crate::config::ReplicationConfig;
use crate::mailbox::Mailbox;
use crate::peer::Dialler;
use crate::tail::CursorStore;

/// A part: made from the settings when the engine starts, or given by the caller.
pub(super) enum Part<T: ?Sized> {
    FromSettings,
    Given(Arc<T>),
}

pub(super) struct Parts {
    pub(super) config: ReplicationConfig,
    pub(super) store: Arc<dyn SyncEngineRef>,
    pub(super) mailbox: Part<dyn Mailbox>,
    pub(super) dialler: Part<dyn Dialler>,
    pub(super) cursors: Part<dyn CursorStore>,
}

/// Makes a [`ReplicationEngine`].
pub struct ReplicationBuilder {
    parts: Parts,
    configs: watch::Receiver<ReplicationConfig>,
}

impl ReplicationBuilder {
    pub(super) fn new(
        config: ReplicationConfig,
        configs: watch::Receiver<ReplicationConfig>,
    ) -> Self {
        Self {
            parts: Parts {
                config,
                store: Arc::new(AbsentStore::default()),
                mailbox: Part::FromSettings,
                dialler: Part::FromSettings,
                cursors: Part::FromSettings,
            },
            configs,
        }
    }

    /// Replicates into and out of this store. Time, chance and tasks come from its environment.
    pub fn with_store(mut self, store: Arc<dyn SyncEngineRef>) -> Self {
        self.parts.store = store;
        self
    }

    /// Answers the questions that come in here. Default: the store's own Redis; without one, peers cannot compare with
    /// this node.
    pub fn with_mailbox(mut self, mailbox: Arc<dyn Mailbox>) -> Self {
        self.parts.mailbox = Part::Given(mailbox);
        self
    }

    /// Reaches peers in another way than over the Redis protocol.
    pub fn with_dialler(mut self, dialler: Arc<dyn Dialler>) -> Self {
        self.parts.dialler = Part::Given(dialler);
        self
    }

    /// Keeps cursors elsewhere than in the file of the settings.
    pub fn with_cursors(mut self, cursors: Arc<dyn CursorStore>) -> Self {
        self.parts.cursors = Part::Given(cursors);
        self
    }

    /// The engine, not started.
    pub fn build(self) -> ReplicationEngine {
        ReplicationEngine::of(self.parts, self.configs)
    }
}
