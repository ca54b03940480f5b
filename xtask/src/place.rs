use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

/// The workspace's root directory.
pub(crate) fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_owned()
}

/// Cargo's target directory for the workspace.
pub(crate) fn target() -> PathBuf {
    root().join(env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| OsString::from("target")))
}

/// Whether a program is where the testbed looks for it too: in `PATH`, with the other servers, in a PostgreSQL.
pub(crate) fn is_installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut dirs: Vec<PathBuf> = env::split_paths(&path).collect();
    dirs.extend(["/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/usr/bin"].map(PathBuf::from));
    if let Ok(versions) = fs::read_dir("/usr/lib/postgresql") {
        dirs.extend(
            versions
                .filter_map(Result::ok)
                .map(|version| version.path().join("bin")),
        );
    }
    dirs.iter().any(|dir| dir.join(program).is_file())
}
