//! The Python that has redis-py.

use std::ffi::OsString;
use std::process::{Command, Output};

/// Runs a program with these arguments; what it printed.
///
/// The interpreter is the one that `REDSQRL_TEST_PYTHON` names, else `python3`.
pub fn run(program: &str, arguments: &[String]) -> String {
    let python =
        std::env::var_os("REDSQRL_TEST_PYTHON").unwrap_or_else(|| OsString::from("python3"));
    let start = |arguments: &[&str]| -> Output {
        let output = Command::new(&python).args(arguments).output();
        output.unwrap_or_else(|error| {
            panic!("{python:?}: {error}; `cargo xtask install` installs it")
        })
    };
    assert!(
        start(&["-c", "import redis"]).status.success(),
        "{python:?} has no redis-py: `cargo xtask install` installs it, or name an interpreter that has it in REDSQRL_TEST_PYTHON"
    );
    let mut all = vec!["-c", program];
    all.extend(arguments.iter().map(String::as_str));
    let output = start(&all);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    String::from_utf8(output.stdout).unwrap()
}
