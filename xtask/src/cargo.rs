use std::{env, ffi::OsString, process::Command};

use crate::{
    commands::no_arguments,
    install::python,
    place::root,
    run::{Outcome, run},
};

pub(crate) fn fmt(args: &[String]) -> Outcome {
    no_arguments(args)?;
    run(cargo().args(["fmt", "--all", "--check"]))
}

pub(crate) fn clippy(args: &[String]) -> Outcome {
    no_arguments(args)?;
    run(cargo()
        .args(["clippy", "--workspace", "--all-targets"])
        .args(["--", "-D", "warnings"]))
}

/// Without `--all-targets`, so that doc tests run too.
pub(crate) fn unit(args: &[String]) -> Outcome {
    no_arguments(args)?;
    let mut tests = cargo();
    tests.args(["test", "--workspace", "--no-fail-fast"]);
    // Without an interpreter the one test that needs it fails, and says what to install.
    if let Some(python) = python::find() {
        tests.env(python::VARIABLE, python);
    }
    run(&mut tests)
}

/// The quick starts of the specification: an example that does not end well is a failure.
pub(crate) fn examples(args: &[String]) -> Outcome {
    no_arguments(args)?;
    for package in ["sync-engine", "replication-engine"] {
        run(cargo().args([
            "run",
            "--quiet",
            "--package",
            package,
            "--example",
            "quick_start",
        ]))?;
    }
    Ok(())
}

pub(crate) fn doc(args: &[String]) -> Outcome {
    no_arguments(args)?;
    run(cargo()
        .args(["doc", "--workspace", "--no-deps"])
        .env("RUSTDOCFLAGS", "-D warnings"))
}

/// The cargo that runs this task, at the workspace's root.
pub(crate) fn cargo() -> Command {
    let program = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut cargo = Command::new(program);
    cargo.current_dir(root());
    cargo
}
