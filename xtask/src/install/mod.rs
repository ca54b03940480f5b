/// Debian packages, without starting the services in them.
mod debian;

/// An interpreter that has redis-py.
pub(crate) mod python;

use std::process::Command;

use crate::{
    cargo::cargo,
    commands::no_arguments,
    place::is_installed,
    run::{Failure, Outcome, run, succeeds},
};

/// A program that a test starts, and the Debian package it comes in.
const PROGRAMS: [(&str, &str); 7] = [
    ("redis-server", "redis-server"),
    ("mariadbd", "mariadb-server"),
    ("mariadb-install-db", "mariadb-server"),
    ("mariadb", "mariadb-server"),
    ("initdb", "postgresql"),
    ("postgres", "postgresql"),
    ("psql", "postgresql"),
];

/// Installs what is missing, and nothing else.
pub(crate) fn install(args: &[String]) -> Outcome {
    no_arguments(args)?;
    let missing = missing_packages(is_installed);
    if !missing.is_empty() {
        debian::install(&missing)?;
        let still = missing_packages(is_installed);
        if !still.is_empty() {
            return Err(Failure::new(format!(
                "installed, but its programs are still not found: {}",
                still.join(" ")
            )));
        }
    }
    python::install()?;
    components()
}

fn missing_packages(is_installed: impl Fn(&str) -> bool) -> Vec<&'static str> {
    let mut packages: Vec<&str> = PROGRAMS
        .iter()
        .filter(|(program, _)| !is_installed(program))
        .map(|(_, package)| *package)
        .collect();
    packages.dedup(); // the list keeps a package's programs together
    packages
}

/// The toolchain's formatter and linter; minimal toolchains come without.
fn components() -> Outcome {
    for (subcommand, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        if succeeds(cargo().args([subcommand, "--version"])) {
            continue;
        }
        run(Command::new("rustup").args(["component", "add", component]))
            .map_err(|why| Failure::new(format!("`cargo {subcommand}` is missing and {why}")))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_is_installed_and_once() {
        assert!(missing_packages(|_| true).is_empty());
        assert_eq!(
            missing_packages(|_| false),
            ["redis-server", "mariadb-server", "postgresql"]
        );
        assert_eq!(
            missing_packages(|program| program != "psql"),
            ["postgresql"]
        );
    }
}
