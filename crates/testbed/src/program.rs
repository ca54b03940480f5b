use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::error::{During, TestbedError};

/// Where Debian keeps PostgreSQL, one directory a version.
const POSTGRES_ROOT: &str = "/usr/lib/postgresql";

/// Finds `program`: in `PATH`, in the newest PostgreSQL, then where servers live but users' paths often do not reach.
///
/// # Errors
/// [`TestbedError::MissingProgram`], naming the Debian `package` to install.
pub(crate) fn find(program: &'static str, package: &'static str) -> Result<PathBuf, TestbedError> {
    find_in(&search_dirs(), program, package)
}

/// Finds `program` where it is allowed to be absent.
pub(crate) fn find_optional(program: &str) -> Option<PathBuf> {
    first_in(&search_dirs(), program)
}

/// Runs a program to its end and returns what it wrote to its standard output.
///
/// # Errors
/// [`TestbedError::Failed`] with its standard error when it does not end with success.
pub(crate) fn run(command: &mut Command) -> Result<String, TestbedError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().during(format!("run {program}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(TestbedError::Failed {
        program,
        status: output.status,
        output: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

fn find_in(
    dirs: &[PathBuf],
    program: &'static str,
    package: &'static str,
) -> Result<PathBuf, TestbedError> {
    first_in(dirs, program).ok_or_else(|| {
        let searched: Vec<_> = dirs.iter().map(|dir| dir.to_string_lossy()).collect();
        TestbedError::MissingProgram {
            program,
            package,
            searched: searched.join(":"),
        }
    })
}

fn first_in(dirs: &[PathBuf], program: &str) -> Option<PathBuf> {
    dirs.iter()
        .map(|dir| dir.join(program))
        .find(|path| path.is_file())
}

fn search_dirs() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut dirs: Vec<PathBuf> = env::split_paths(&path).collect();
    dirs.extend(postgres_dirs(Path::new(POSTGRES_ROOT)));
    dirs.extend(["/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/usr/bin"].map(PathBuf::from));
    dirs
}

/// The `bin` directories of all installed PostgreSQL versions, the newest first.
fn postgres_dirs(root: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(root) else {
        return Vec::new(); // not installed: the search says so
    };
    let mut versions: Vec<(u32, PathBuf)> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
        .collect();
    versions.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    versions
        .into_iter()
        .map(|(_, dir)| dir.join("bin"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_names_the_package_and_the_command() {
        let empty = tempfile::tempdir().unwrap();
        let error =
            find_in(&[empty.path().to_owned()], "redis-server", "redis-server").unwrap_err();
        let text = error.to_string();
        assert!(text.contains("apt-get install redis-server"), "{text}");
        assert!(text.contains(&*empty.path().to_string_lossy()), "{text}");
    }

    #[test]
    fn the_newest_postgres_comes_first() {
        let root = tempfile::tempdir().unwrap();
        for version in ["9", "15", "17", "notes"] {
            fs::create_dir(root.path().join(version)).unwrap();
        }
        let dirs = postgres_dirs(root.path());
        let expected = ["17", "15", "9"].map(|version| root.path().join(version).join("bin"));
        assert_eq!(dirs, expected);
    }

    #[test]
    fn a_failing_program_keeps_its_words() {
        let error = run(Command::new("sh").args(["-c", "echo no luck >&2; exit 3"])).unwrap_err();
        assert!(error.to_string().contains("no luck"), "{error}");
    }
}
