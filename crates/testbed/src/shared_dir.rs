use std::{
    env,
    fs::{self, DirBuilder, File},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use crate::{
    account::own_uid,
    error::{During, TestbedError},
};

/// The directory that all test processes of this user on this machine share: data templates and port leases.
///
/// Everything in it may be deleted at any time; it is made anew. It lies in the system's temporary directory because
/// the servers' accounts must be able to walk into it.
pub(crate) fn shared_dir() -> Result<PathBuf, TestbedError> {
    let uid = own_uid()?;
    let path = env::temp_dir().join(format!("redsqrl-testbed-{uid}"));
    create_dir(&path)?;
    let metadata = fs::symlink_metadata(&path).on("look at", &path)?;
    if metadata.uid() != uid || !metadata.is_dir() {
        // The name can be guessed: somebody else's directory is not to be trusted.
        return Err(TestbedError::ForeignDirectory {
            path: path.display().to_string(),
        });
    }
    Ok(path)
}

/// Creates the directory, and its parents, unless they exist.
pub(crate) fn create_dir(path: &Path) -> Result<(), TestbedError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(path)
        .on("create", path)
}

/// Opens a file that is only ever locked, never read.
pub(crate) fn lock_file(path: &Path) -> Result<File, TestbedError> {
    File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .on("open", path)
}
