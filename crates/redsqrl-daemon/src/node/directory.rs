//! The data directory: one node's own while it runs.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use super::NodeError;

/// Locked while a node runs; holds its process id.
const LOCK: &str = "redsqrl.lock";

/// Holds the id of a node that was given none.
const NODE_ID: &str = "node_id";

/// A data directory that is ours until this is dropped.
pub(super) struct Directory {
    path: PathBuf,
    _lock: File,
}

impl Directory {
    /// Creates the directory where it is missing, and takes it.
    pub(super) fn take(path: &Path) -> Result<Self, NodeError> {
        let unusable = |source| NodeError::Directory {
            path: path.into(),
            source,
        };
        fs::create_dir_all(path).map_err(unusable)?;
        let file = path.join(LOCK);
        // Not truncated: until it is ours it tells who has the directory.
        let options = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&file);
        let mut lock = options.map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let pid = holder(&mut lock);
                return Err(NodeError::InUse {
                    path: path.into(),
                    pid,
                });
            }
            Err(TryLockError::Error(source)) => return Err(unusable(source)),
        }
        note_holder(&mut lock).map_err(unusable)?;
        Ok(Self {
            path: path.into(),
            _lock: lock,
        })
    }

    /// The given id; else the kept one; else a random one, which is kept.
    pub(super) fn node_id(&self, given: Option<&str>) -> Result<String, NodeError> {
        if let Some(id) = given {
            return Ok(id.into());
        }
        let path = self.path.join(NODE_ID);
        let kept = match fs::read_to_string(&path) {
            Ok(kept) => kept,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let id = format!("node-{:016x}", fastrand::u64(..));
                keep(&path, &id).map_err(|source| NodeError::Directory { path, source })?;
                return Ok(id);
            }
            Err(source) => return Err(NodeError::Directory { path, source }),
        };
        let id = kept.trim();
        if id.is_empty() || id.len() > 256 || id.chars().any(char::is_control) {
            return Err(NodeError::NodeId { path });
        }
        Ok(id.into())
    }
}

fn holder(lock: &mut File) -> Option<u32> {
    let mut text = String::new();
    lock.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn note_holder(lock: &mut File) -> io::Result<()> {
    lock.set_len(0)?;
    lock.rewind()?;
    writeln!(lock, "{}", std::process::id())
}

/// All of it or nothing, also when power fails.
fn keep(path: &Path, id: &str) -> io::Result<()> {
    let draft = path.with_extension("new");
    let mut file = File::create(&draft)?;
    writeln!(file, "{id}")?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_node_and_a_node_one_id() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let first = Directory::take(&path).unwrap();
        let message = Directory::take(&path).err().unwrap().to_string();
        assert!(
            message.contains("in use") && message.contains(&std::process::id().to_string()),
            "{message}"
        );
        let id = first.node_id(None).unwrap();
        assert_eq!(first.node_id(None).unwrap(), id);
        assert_eq!(first.node_id(Some("given")).unwrap(), "given");
        drop(first);
        assert_eq!(Directory::take(&path).unwrap().node_id(None).unwrap(), id);
        fs::write(path.join(NODE_ID), "").unwrap();
        assert!(matches!(
            Directory::take(&path).unwrap().node_id(None),
            Err(NodeError::NodeId { .. })
        ));
        let file = parent.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(matches!(
            Directory::take(&file),
            Err(NodeError::Directory { .. })
        ));
    }
}
