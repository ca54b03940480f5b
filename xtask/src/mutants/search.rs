use std::{
    fmt,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{Duration, Instant},
};

use super::copy::{VARIABLE, failure, place};
use crate::{
    cargo::cargo,
    run::{Failure, run},
};

/// Runs after which a bug counts as missed.
pub(super) const RUNS: u64 = 500;

/// Time after which it does.
const PATIENCE: Duration = Duration::from_secs(600);

/// Runs between two looks at the clock.
const STEP: u64 = 20;

/// What came of a search.
#[derive(Debug)]
pub(super) enum Searched {
    /// The run of this number, counted from 1, was the first to fail, and what it said.
    Found { runs: u64, violation: String },
    /// None of so many did.
    Missed { runs: u64 },
}

impl fmt::Display for Searched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Found { runs, .. } => runs.fmt(f),
            Self::Missed { runs } => write!(f, "not in {runs}"),
        }
    }
}

/// The simulator that has every bug.
pub(super) struct Simulator(PathBuf);

impl Simulator {
    /// Builds that of this copy of the workspace.
    pub(super) fn build(tree: &Path) -> Result<Self, Failure> {
        let target = place().join("target");
        let mut build = cargo();
        build.current_dir(tree).env("CARGO_TARGET_DIR", &target);
        run(build.args(["build", "--release", "--package", "sim"]))?;
        Ok(Self(target.join("release/sim")))
    }

    /// Plays the runs from seed 0 on with this bug until one fails, `runs` are over, or the time is.
    pub(super) fn search(&self, bug: &str, runs: u64) -> Result<Searched, Failure> {
        let since = Instant::now();
        let mut played = 0;
        while played < runs && since.elapsed() < PATIENCE {
            let step = STEP.min(runs - played);
            let Some((seed, violation)) = self.play(bug, played, step)? else {
                played += step;
                continue;
            };
            // What a run finds in the sound program says nothing of a bug.
            if self.play("", seed, 1)?.is_none() {
                let runs = seed + 1;
                return Ok(Searched::Found { runs, violation });
            }
            eprintln!("run {} fails without any bug: {violation}", seed + 1);
            played = seed + 1;
        }
        Ok(Searched::Missed { runs: played })
    }

    /// The seed of the first run that fails, and what it says; an empty `bug` is none.
    fn play(&self, bug: &str, from: u64, runs: u64) -> Result<Option<(u64, String)>, Failure> {
        let mut search = Command::new(&self.0);
        search.args(["--until", &runs.to_string(), "--from", &from.to_string()]);
        search.env(VARIABLE, bug);
        first_failure(&search.output().map_err(failure(&self.0))?)
    }
}

fn first_failure(said: &Output) -> Result<Option<(u64, String)>, Failure> {
    if said.status.success() {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&said.stdout);
    let told = text.lines().find_map(|line| {
        let (seed, violation) = line.strip_prefix("seed ")?.split_once(": ")?;
        Some((seed.parse().ok()?, violation.to_owned()))
    });
    let died = || Failure::new(format!("the simulator died: {}: {text}", said.status));
    told.map(Some).ok_or_else(died)
}
