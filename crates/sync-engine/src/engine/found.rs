//! What the archive tells when it is opened: who this node is, how far its clock was, its tree and its filter.

use super::identity::Identity;
use super::keys_filter;
use super::tree::load_or_rebuild;
use crate::config::SyncEngineConfig;
use crate::error::{ErrorKind, StorageError};
use crate::filter::FilterManager;
use crate::guard::RetryConfig;
use crate::guard::archive::GuardedArchive;
use crate::item::stamp::HlcTime;
use crate::l3::{ArchiveError, ArchiveStore, MetaKey, Opened};
use crate::merkle::tree::Tree;

pub(super) async fn open_archive(
    archive: &GuardedArchive,
    env: &dyn crate::env::Env,
) -> Result<Opened, StorageError> {
    let mut failed = 0;
    loop {
        match archive.open().await {
            Ok(opened) => return Ok(opened),
            Err(error @ ArchiveError::Unavailable { .. }) => {
                failed += 1;
                let Some(delay) = RetryConfig::startup().delay(failed, env.random()) else {
                    return Err(error.into());
                };
                tracing::warn!(%error, "the archive does not answer; trying again");
                env.sleep(delay).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// What the archive told when it was opened.
pub(super) struct Found {
    pub identity: Identity,
    pub clock_bound: HlcTime,
    pub collected: HlcTime,
    pub tree: Tree,
    pub filter: FilterManager,
    /// Whether it was opened at all.
    pub is_open: bool,
}

impl Found {
    pub(super) async fn read(
        archive: &GuardedArchive,
        config: &SyncEngineConfig,
        opened: &Opened,
        random: u64,
    ) -> Result<Self, StorageError> {
        let (tree, _) = load_or_rebuild(archive).await?;
        Ok(Self {
            identity: settle_identity(archive, config, opened, random).await?,
            clock_bound: opened.clock_bound,
            collected: opened.collected,
            filter: keys_filter::restore(archive, &tree.root()).await?,
            tree,
            is_open: true,
        })
    }

    /// Without its archive an engine can go on only if it knows who it is and logs what it accepts.
    ///
    /// What the archive holds was stamped at most the drift limit ahead of the clock, so stamps from there on are greater:
    /// what is accepted now does not lose to an older row.
    pub(super) fn nothing_yet(
        config: &SyncEngineConfig,
        (now_ms, random): (i64, u64),
        error: StorageError,
    ) -> Result<Self, StorageError> {
        let (Some(node_id), Some(_), ErrorKind::Unavailable) =
            (&config.node_id, &config.wal_path, error.kind())
        else {
            return Err(error);
        };
        tracing::warn!(%error, "starting without the archive: writes are logged until it answers");
        let drift_ms = i64::try_from(config.max_clock_drift_ms).unwrap_or(i64::MAX);
        Ok(Self {
            identity: Identity::resolve(None, Some(node_id), None, random),
            clock_bound: HlcTime::from_ms(now_ms.saturating_add(drift_ms)),
            collected: HlcTime::default(),
            tree: Tree::empty(),
            filter: keys_filter::unproven()?,
            is_open: false,
        })
    }
}

pub(super) async fn settle_identity(
    archive: &GuardedArchive,
    config: &SyncEngineConfig,
    opened: &Opened,
    random: u64,
) -> Result<Identity, StorageError> {
    if !archive.is_exclusive() {
        return Ok(Identity::among_others(config.node_id.as_deref(), random));
    }
    let stored = archive.meta(MetaKey::Identity).await?;
    let stored = stored.as_deref().and_then(Identity::from_bytes);
    let fingerprint = opened.fingerprint.as_deref();
    let identity = Identity::resolve(
        stored.clone(),
        config.node_id.as_deref(),
        fingerprint,
        random,
    );
    if stored.as_ref() != Some(&identity) {
        if stored.is_some_and(|stored| stored.incarnation != identity.incarnation) {
            // The cache may know writes that this copy does not.
            archive.set_meta(MetaKey::Generation, Vec::new()).await?;
            tracing::warn!(
                "this storage is a copy of another node's; this node stamps under a new origin"
            );
        }
        archive
            .set_meta(MetaKey::Identity, identity.to_bytes())
            .await?;
    }
    Ok(identity)
}
