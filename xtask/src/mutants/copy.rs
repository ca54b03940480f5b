//! A copy of the workspace's sources that has every bug, each behind a switch.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use super::list::{MUTANTS, Mutant, PLANTED};
use crate::{
    place::{root, target},
    run::{Failure, Outcome},
};

/// The environment variable that switches a bug on: its name.
pub(super) const VARIABLE: &str = "PLANTED";

/// Where the switch is defined, and where everything else finds it.
const SWITCH_FILE: &str = "sync-engine/src/lib.rs";

/// Added to that file. Asked on hot paths: the variable is read once.
const SWITCH: &str = r#"
/// Whether this bug is switched on.
#[doc(hidden)]
#[allow(clippy::disallowed_methods)]
pub fn planted(what: &str) -> bool {
    static ON: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    ON.get_or_init(|| std::env::var("PLANTED").unwrap_or_default()) == what
}
"#;

pub(super) fn failure(what: &Path) -> impl Fn(io::Error) -> Failure {
    move |error| Failure::new(format!("{}: {error}", what.display()))
}

/// Where the copy and what is built of it are.
pub(super) fn place() -> PathBuf {
    target().join("mutants")
}

/// Makes the copy; it is kept between calls so that little is built again. Gives where it is.
pub(super) fn make() -> Result<PathBuf, Failure> {
    let tree = place().join("tree");
    let planted = plant_all(MUTANTS)?;
    for name in sources()? {
        let (from, to) = (root().join(&name), tree.join(&name));
        match name.strip_prefix("crates/").and_then(|f| planted.get(f)) {
            Some(text) => write(&to, text.as_bytes())?,
            None => write(&to, &fs::read(&from).map_err(failure(&from))?)?,
        }
    }
    Ok(tree)
}

/// The files that a build needs, new ones with them, below the root.
fn sources() -> Result<Vec<String>, Failure> {
    let mut list = Command::new("git");
    list.current_dir(root())
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .args(["crates", "xtask", "Cargo.toml", "Cargo.lock"]);
    let listed = list.output().map_err(failure(Path::new("git")))?;
    let names = String::from_utf8_lossy(&listed.stdout);
    let there = |name: &&str| !name.is_empty() && root().join(name).is_file();
    Ok(names.split('\0').filter(there).map(str::to_owned).collect())
}

/// The text of every file, below `crates`, that has a bug or the switch.
fn plant_all(mutants: &[Mutant]) -> Result<BTreeMap<&str, String>, Failure> {
    let mut planted: BTreeMap<&str, String> = BTreeMap::new();
    for mutant in mutants {
        let sound = match planted.remove(mutant.file) {
            Some(text) => text,
            None => read(mutant.file)?,
        };
        planted.insert(mutant.file, plant(&sound, mutant)?);
    }
    let switched = match planted.remove(SWITCH_FILE) {
        Some(text) => text,
        None => read(SWITCH_FILE)?,
    };
    planted.insert(SWITCH_FILE, switched + SWITCH);
    Ok(planted)
}

fn read(file: &str) -> Result<String, Failure> {
    let file = root().join("crates").join(file);
    fs::read_to_string(&file).map_err(failure(&file))
}

fn plant(sound: &str, mutant: &Mutant) -> Result<String, Failure> {
    let Mutant { what, file, .. } = mutant;
    let times = sound.matches(mutant.find).count();
    if times != 1 {
        return Err(Failure::new(format!(
            "`{what}`: its text stands {times} times in {file}"
        )));
    }
    let home = match file.starts_with("sync-engine/") {
        true => "crate",
        false => "sync_engine",
    };
    let switch = format!("{home}::planted({what:?})");
    let replaced = mutant.replace.replace(PLANTED, &switch);
    Ok(sound.replacen(mutant.find, &replaced, 1))
}

/// Leaves a file alone that is right already: cargo would build it again.
fn write(to: &Path, text: &[u8]) -> Outcome {
    if fs::read(to).is_ok_and(|there| there == text) {
        return Ok(());
    }
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).map_err(failure(folder))?;
    }
    fs::write(to, text).map_err(failure(to))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// A changed source fails here, with the name of the bug that no longer finds its place.
    #[test]
    fn every_bug_can_be_planted_beside_the_others() {
        let planted = plant_all(MUTANTS).unwrap_or_else(|why| panic!("{why}"));
        for mutant in MUTANTS {
            let switch = format!("::planted({:?})", mutant.what);
            let text = &planted[mutant.file];
            assert!(text.contains(&switch), "{} is not there", mutant.what);
        }
        assert!(planted[SWITCH_FILE].contains(SWITCH));
        assert!(SWITCH.contains(&format!("{VARIABLE:?}")));
    }

    #[test]
    fn names_are_distinct_and_every_bug_has_a_switch() {
        let names: HashSet<_> = MUTANTS.iter().map(|mutant| mutant.what).collect();
        assert_eq!(names.len(), MUTANTS.len());
        for mutant in MUTANTS {
            assert!(mutant.replace.contains(PLANTED), "{}", mutant.what);
        }
    }

    #[test]
    fn a_text_that_is_gone_or_stands_twice_is_refused() {
        for sound in ["b", "a a"] {
            let mutant = Mutant {
                what: "a",
                file: "sim/a.rs",
                find: "a",
                replace: PLANTED,
            };
            assert!(plant(sound, &mutant).is_err(), "{sound}");
        }
    }
}
