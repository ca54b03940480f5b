//! What is damaged is put aside before anything is repaired.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// The path with something after its name.
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// Names for what is put aside this time: `<path>.damaged-<n>`, `n` not used yet.
#[derive(Debug)]
pub struct Aside {
    /// Where the copy of the database goes. Its `-wal` goes beside it, so that the copy can be opened.
    pub base: PathBuf,
    /// Which one it is, from 1.
    pub number: u64,
}

impl Aside {
    /// The next free name.
    pub fn next(path: &Path) -> io::Result<Self> {
        let mut number = 1;
        loop {
            let base = beside(path, &format!(".damaged-{number}"));
            let taken = ["", "-wal", "-tail"]
                .iter()
                .map(|suffix| beside(&base, suffix).try_exists());
            if !taken.collect::<io::Result<Vec<_>>>()?.contains(&true) {
                return Ok(Self { base, number });
            }
            number += 1;
        }
    }

    /// Copies the database and its `-wal`, durably.
    pub fn copy(&self, path: &Path) -> io::Result<()> {
        for suffix in ["", "-wal"] {
            let from = beside(path, suffix);
            if from.try_exists()? {
                let to = beside(&self.base, suffix);
                fs::copy(from, &to)?;
                File::open(&to)?.sync_all()?;
            }
        }
        sync_directory(path)
    }

    /// Copies one part of the `-wal` file, durably.
    pub fn copy_tail(&self, path: &Path, from: u64, bytes: u64) -> io::Result<()> {
        let mut wal = File::open(beside(path, "-wal"))?;
        wal.seek(SeekFrom::Start(from))?;
        let mut copy = File::create(beside(&self.base, "-tail"))?;
        io::copy(&mut wal.take(bytes), &mut copy)?;
        copy.sync_all()?;
        sync_directory(path)
    }
}

/// Makes new and renamed files in the directory of `path` durable.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

/// Removes the file, if it is there.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}
