use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use crate::{
    account::{Account, hand_over},
    error::{During, TestbedError},
    shared_dir::{create_dir, lock_file, shared_dir},
};

/// A freshly initialised data directory. Making one takes seconds, so it is made once and copied for each server.
///
/// Test processes run in parallel: copying holds the file lock shared, making holds it alone. A template that lost
/// files (temporary directories get cleaned) is noticed and made anew.
pub(crate) struct Template {
    dir: PathBuf,
    account: Option<Account>,
}

impl Template {
    /// The template with this name, which must change whenever what [`copy_to`](Self::copy_to)'s `make` does changes.
    pub(crate) fn named(name: &str, account: Option<Account>) -> Result<Template, TestbedError> {
        let templates = shared_dir()?.join("templates");
        create_dir(&templates)?;
        Ok(Template {
            dir: templates.join(name),
            account,
        })
    }

    /// Copies the template to `target`, which must not exist. `make` fills the template when there is none: it gets an
    /// empty directory that belongs to the account.
    pub(crate) fn copy_to(
        &self,
        target: &Path,
        make: impl Fn(&Path) -> Result<(), TestbedError>,
    ) -> Result<(), TestbedError> {
        let lock_path = self.beside("lock");
        loop {
            let lock = lock_file(&lock_path)?;
            lock.lock_shared().on("lock", &lock_path)?;
            if self.is_whole()? {
                return copy_tree(&self.dir, target, self.account);
            }
            drop(lock);
            self.make_alone(&make)?;
        }
    }

    fn make_alone(
        &self,
        make: impl Fn(&Path) -> Result<(), TestbedError>,
    ) -> Result<(), TestbedError> {
        let lock_path = self.beside("lock");
        let lock: File = lock_file(&lock_path)?;
        lock.lock().on("lock", &lock_path)?;
        if self.is_whole()? {
            return Ok(()); // another process was faster
        }
        remove_dir(&self.dir)?;
        create_dir(&self.dir)?;
        hand_over(&self.dir, self.account)?;
        make(&self.dir)?;
        let whole = self.beside("whole");
        let size = Size::of(&self.dir)?.to_string();
        fs::write(&whole, size).on("write", &whole)
    }

    /// The note beside the template, written last, says how much must be there.
    fn is_whole(&self) -> Result<bool, TestbedError> {
        match fs::read_to_string(self.beside("whole")) {
            Ok(noted) if self.dir.is_dir() => Ok(noted == Size::of(&self.dir)?.to_string()),
            _ => Ok(false),
        }
    }

    fn beside(&self, extension: &str) -> PathBuf {
        self.dir.with_added_extension(extension)
    }
}

/// How much a directory holds.
#[derive(Default)]
struct Size {
    files: u64,
    bytes: u64,
}

impl Size {
    fn of(dir: &Path) -> Result<Size, TestbedError> {
        let mut size = Size::default();
        let mut pending = vec![dir.to_owned()];
        while let Some(dir) = pending.pop() {
            for entry in fs::read_dir(&dir).on("read", &dir)? {
                let entry = entry.on("read", &dir)?;
                let metadata = entry.metadata().on("look at", &entry.path())?;
                if metadata.is_dir() {
                    pending.push(entry.path());
                } else {
                    size.files += 1;
                    size.bytes += metadata.len();
                }
            }
        }
        Ok(size)
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} files, {} bytes", self.files, self.bytes)
    }
}

fn copy_tree(from: &Path, to: &Path, account: Option<Account>) -> Result<(), TestbedError> {
    fs::create_dir(to).on("create", to)?;
    for entry in fs::read_dir(from).on("read", from)? {
        let entry = entry.on("read", from)?;
        let target = to.join(entry.file_name());
        if entry.file_type().on("look at", &entry.path())?.is_dir() {
            copy_tree(&entry.path(), &target, account)?;
        } else {
            fs::copy(entry.path(), &target).on("copy", &entry.path())?;
            hand_over(&target, account)?;
        }
    }
    let permissions = fs::metadata(from).on("look at", from)?.permissions();
    fs::set_permissions(to, permissions).on("change the mode of", to)?;
    hand_over(to, account)
}

fn remove_dir(dir: &Path) -> Result<(), TestbedError> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.on("remove", dir),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU32, Ordering},
        thread,
    };

    use super::*;

    fn template_in(dir: &Path) -> Template {
        Template {
            dir: dir.join("t"),
            account: None,
        }
    }

    fn make(dir: &Path) -> Result<(), TestbedError> {
        fs::create_dir(dir.join("sub")).on("create", dir)?;
        fs::write(dir.join("sub/file"), "text").on("write", dir)
    }

    #[test]
    fn many_at_once_make_it_once() {
        let dir = tempfile::tempdir().unwrap();
        let made = AtomicU32::new(0);
        thread::scope(|scope| {
            for n in 0..8 {
                let (dir, made) = (dir.path(), &made);
                scope.spawn(move || {
                    let counted = |at: &Path| {
                        made.fetch_add(1, Ordering::Relaxed);
                        make(at)
                    };
                    let target = dir.join(n.to_string());
                    template_in(dir).copy_to(&target, counted).unwrap();
                    assert_eq!(fs::read_to_string(target.join("sub/file")).unwrap(), "text");
                });
            }
        });
        assert_eq!(made.into_inner(), 1);
    }

    #[test]
    fn a_template_that_lost_a_file_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let template = template_in(dir.path());
        template.copy_to(&dir.path().join("a"), make).unwrap();
        fs::remove_file(dir.path().join("t/sub/file")).unwrap();
        template.copy_to(&dir.path().join("b"), make).unwrap();
        assert!(dir.path().join("b/sub/file").is_file());
    }

    #[test]
    fn a_failed_make_leaves_no_template() {
        let dir = tempfile::tempdir().unwrap();
        let template = template_in(dir.path());
        let failing = |_: &Path| Err(TestbedError::NoFreePort { tries: 0 });
        assert!(template.copy_to(&dir.path().join("a"), failing).is_err());
        template.copy_to(&dir.path().join("b"), make).unwrap();
    }
}
