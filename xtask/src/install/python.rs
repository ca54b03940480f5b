use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

use super::debian;
use crate::{
    place::target,
    run::{Failure, Outcome, run, succeeds},
};

/// The environment variable that tells a test which interpreter has redis-py.
pub(crate) const VARIABLE: &str = "REDSQRL_TEST_PYTHON";

/// Debian 12 has 4.3; nothing newer is needed.
const REDIS_PY: &str = "redis>=4.3";

/// Tried in this order; the second is Debian's own, which may be hidden behind another one in `PATH`.
const PYTHONS: [&str; 2] = ["python3", "/usr/bin/python3"];

/// An interpreter that can `import redis`: the one the variable names, our own, then the system's.
pub(crate) fn find() -> Option<OsString> {
    let ours = OsString::from(venv().join("bin/python"));
    env::var_os(VARIABLE)
        .into_iter()
        .chain([ours])
        .chain(PYTHONS.map(OsString::from))
        .find(|python| succeeds(Command::new(python).args(["-c", "import redis"])))
}

/// Makes sure that [`find`] finds one: in a virtual environment in the target directory, else by Debian's package.
pub(crate) fn install() -> Outcome {
    if find().is_some() {
        return Ok(());
    }
    let python = PYTHONS
        .into_iter()
        .find(|python| succeeds(Command::new(python).arg("--version")));
    if let Some(python) = python {
        match make_venv(python, &venv()) {
            Ok(()) => return Ok(()),
            Err(why) => println!("no virtual environment ({why}); trying Debian's package"),
        }
    }
    debian::install(&["python3", "python3-redis"])?;
    match find() {
        Some(_) => Ok(()),
        None => Err(Failure::new(format!(
            "no python3 that can `import redis`: install redis-py and name the interpreter in {VARIABLE}"
        ))),
    }
}

fn make_venv(python: &str, venv: &Path) -> Outcome {
    run(Command::new(python)
        .args(["-m", "venv", "--clear"])
        .arg(venv))?;
    let pip = [
        "-m",
        "pip",
        "--disable-pip-version-check",
        "install",
        "--quiet",
    ];
    run(Command::new(venv.join("bin/python"))
        .args(pip)
        .arg(REDIS_PY))
}

fn venv() -> PathBuf {
    target().join("test-python")
}
