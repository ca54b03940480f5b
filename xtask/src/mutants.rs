//! Deliberate bugs, each put into a copy of the workspace by replacing one piece of text.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    cargo::cargo,
    place::root,
    run::{Failure, Outcome, run},
};

/// Runs after which a bug counts as not found.
const RUNS: &str = "1000";

/// One bug.
struct Mutant {
    /// The mechanism that is taken out, in the words of docs/testing.md.
    what: &'static str,
    /// The file, below `crates`.
    file: &'static str,
    /// The text that is replaced; it stands there once.
    find: &'static str,
    /// What takes its place.
    replace: &'static str,
}

const MUTANTS: &[Mutant] = &[
    Mutant {
        what: "the archive takes greater stamps only",
        file: "sync-engine/src/engine/commit.rs",
        find: "        decide(old.as_ref(), &self.leaf)\n",
        replace: "        let _ = decide(old.as_ref(), &self.leaf);\n        Decision::Take\n",
    },
    Mutant {
        what: "tombstones are members of the tree",
        file: "sync-engine/src/engine/commit.rs",
        find: "        .filter(|(_, write)| **write)\n",
        replace: "        .filter(|((new, _), write)| **write && new.leaf.hash.is_some())\n",
    },
    Mutant {
        what: "a log position is kept until the archive has it",
        file: "sync-engine/src/engine/log_room.rs",
        find: "            self.wal.free_below(floor);",
        replace: "            self.wal.free_below(floor.max(self.wal.bounds().1));",
    },
    Mutant {
        what: "the log is replayed",
        file: "sync-engine/src/engine/open.rs",
        find: "        core.replay().await?;\n",
        replace: "",
    },
    Mutant {
        what: "replay asks the archive what it knows better",
        file: "sync-engine/src/engine/replay.rs",
        find: "Decision::Keep => self.release_positions([at]),",
        replace: "Decision::Keep => self.enter_replayed(stored, at),",
    },
    Mutant {
        what: "the clock begins above what is stored",
        file: "sync-engine/src/engine/open.rs",
        find: "Clock::new(found.identity.origin(), found.clock_bound)",
        replace: "Clock::new(found.identity.origin(), Default::default())",
    },
    Mutant {
        what: "the log remembers the clock",
        file: "sync-engine/src/engine/replay.rs",
        find: "        self.clock.observe(self.wal.clock_bound());\n",
        replace: "",
    },
    Mutant {
        what: "a new storage stamps under a new origin",
        file: "sync-engine/src/engine/identity.rs",
        find: "                incarnation: random | 1,\n                fingerprint,",
        replace: "                incarnation: 0,\n                fingerprint,",
    },
    Mutant {
        what: "what is applied raises the clock",
        file: "sync-engine/src/engine/apply.rs",
        find: "        part.iter().for_each(|stored| self.observe(stored));\n",
        replace: "",
    },
    Mutant {
        what: "what was already stored by a commit of unknown outcome reaches L1",
        file: "sync-engine/src/engine/apply.rs",
        find: "            if let Some(decision) = fate.taken() {",
        replace: "            if let Some(decision) = fate.taken().filter(|d| *d == Decision::Take) {",
    },
    Mutant {
        what: "what is not stored yet counts among the leaves that are known",
        file: "sync-engine/src/engine/apply.rs",
        find: "entry.stored.is_archived() && entry.due.contains(Due::ARCHIVE)",
        replace: "entry.stored.is_archived() && entry.due.contains(Due::HOLD)",
    },
    Mutant {
        what: "what loses in the archive leaves L1",
        file: "sync-engine/src/engine/flush.rs",
        find: "            self.l1.remove_clean(key, stamp);\n",
        replace: "            let _ = stamp;\n",
    },
    Mutant {
        what: "keys whose write missed the cache are stale",
        file: "sync-engine/src/engine/flush.rs",
        find: "        if self.stale.note(keys).is_err() {",
        replace: "        if self.stale.note(keys.into_iter().take(0)).is_err() {",
    },
    Mutant {
        what: "a crash raises the cache's generation",
        file: "sync-engine/src/engine/generation.rs",
        find: "(kept, false) => kept.wrapping_add(STEP),",
        replace: "(kept, false) => kept,",
    },
    Mutant {
        what: "generations of another archive are not believed",
        file: "sync-engine/src/engine/generation.rs",
        find: "(0, _) => random & !u64::from(u32::MAX) | STEP,",
        replace: "(0, _) => random & 0 | STEP,",
    },
    Mutant {
        what: "another life of the cache's server is not believed",
        file: "sync-engine/src/engine/generation.rs",
        find: "        if !is_first {\n            self.give_up_cache();\n        }\n",
        replace: "        let _ = is_first;\n",
    },
    Mutant {
        what: "the ticket that guards fills",
        file: "sync-engine/src/l1/write.rs",
        find: "                && self.tickets.is_valid(hash, ticket)\n",
        replace: "                && (self.tickets.is_valid(hash, ticket) || true)\n",
    },
    Mutant {
        what: "the cold path runs",
        file: "replication-engine/src/engine/cold_task.rs",
        find: "        while !self.stop.is_given() {\n            match self.peer.take_wanted() {",
        replace: "        while !self.stop.is_given() {\n            env.sleep(std::time::Duration::from_secs(9999)).await;\n            match self.peer.take_wanted() {",
    },
    Mutant {
        what: "stamps from the far future wait",
        file: "sync-engine/src/engine/apply.rs",
        find: "} else if stored.stamp().time.ms() > believed_until {",
        replace: "} else if stored.stamp().time.ms() == i64::MIN + believed_until % 2 {",
    },
    Mutant {
        what: "stamps are given when the place in the log is taken",
        file: "sync-engine/src/engine/incoming.rs",
        find: "        let first = Arc::<OnceLock<Stamp>>::default();\n",
        replace: "        let first = Arc::<OnceLock<Stamp>>::default();\n        first.get_or_init(|| core.clock.reserve(core.now_ms(), drafts.len() as u64));\n",
    },
    Mutant {
        what: "what only the cache keeps stays in the log until the cache has it",
        file: "sync-engine/src/l1/dirty.rs",
        find: "let is_kept = is_archived && cleared",
        replace: "let is_kept = (is_archived || true) && cleared",
    },
    Mutant {
        what: "a shutdown flushes",
        file: "sync-engine/src/engine/close.rs",
        find: "timeout(&*self.env, left, self.flush_until_clean())",
        replace: "timeout(&*self.env, left.min(std::time::Duration::ZERO), self.flush_until_clean())",
    },
];

/// Plants every bug whose description has the given words in it (without any: all), and prints a table.
pub(crate) fn mutants(args: &[String]) -> Outcome {
    let words = args.join(" ");
    let tree = copy()?;
    println!("| taken out | found after so many runs |\n|---|---|");
    let mut missed = 0;
    for mutant in MUTANTS.iter().filter(|mutant| mutant.what.contains(&words)) {
        let found = plant(&tree, mutant)?;
        missed += usize::from(found.is_none());
        let found = found.unwrap_or_else(|| format!("not in {RUNS}"));
        println!("| {} | {found} |", mutant.what);
    }
    match missed {
        0 => Ok(()),
        missed => Err(Failure::new(format!("{missed} bugs were not found"))),
    }
}

fn failure(what: &Path) -> impl Fn(io::Error) -> Failure {
    move |error| Failure::new(format!("{}: {error}", what.display()))
}

/// A copy of the workspace's sources, kept between calls so that little is built again.
fn copy() -> Result<PathBuf, Failure> {
    let tree = root().join("target/mutants/tree");
    let mut list = Command::new("git");
    list.current_dir(root()).args([
        "ls-files",
        "-z",
        "crates",
        "xtask",
        "Cargo.toml",
        "Cargo.lock",
    ]);
    let listed = list.output().map_err(failure(Path::new("git")))?;
    for name in String::from_utf8_lossy(&listed.stdout)
        .split('\0')
        .filter(|name| !name.is_empty())
    {
        let (from, to) = (root().join(name), tree.join(name));
        let text = fs::read(&from).map_err(failure(&from))?;
        write(&to, &text)?;
    }
    Ok(tree)
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

/// What the simulator says of it; `None`: nothing.
fn plant(tree: &Path, mutant: &Mutant) -> Result<Option<String>, Failure> {
    let file = tree.join("crates").join(mutant.file);
    let sound = fs::read_to_string(&file).map_err(failure(&file))?;
    write(
        &file,
        sound.replacen(mutant.find, mutant.replace, 1).as_bytes(),
    )?;
    let searched = search(tree);
    write(&file, sound.as_bytes())?;
    searched
}

fn search(tree: &Path) -> Result<Option<String>, Failure> {
    let target = root().join("target/mutants/target");
    let mut build = cargo();
    build.current_dir(tree).env("CARGO_TARGET_DIR", &target);
    run(build.args(["build", "--quiet", "--release", "--package", "sim"]))?;
    let simulator = target.join("release/sim");
    let mut search = Command::new(&simulator);
    let searched = search
        .args(["--until", RUNS])
        .output()
        .map_err(failure(&simulator))?;
    if searched.status.success() {
        return Ok(None);
    }
    let said = String::from_utf8_lossy(&searched.stdout);
    let runs = said
        .lines()
        .last()
        .and_then(|line| line.split(' ').next())
        .unwrap_or("?");
    Ok(Some(runs.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bug_can_be_planted() {
        for mutant in MUTANTS {
            let file = root().join("crates").join(mutant.file);
            let text = fs::read_to_string(&file).expect("the file is there");
            assert_eq!(text.matches(mutant.find).count(), 1, "{}", mutant.what);
            assert_ne!(mutant.find, mutant.replace, "{}", mutant.what);
        }
    }
}
