use crate::{
    cargo, fuzz, install, mutants,
    run::{Failure, Outcome, steps},
    sim,
};

/// Something `cargo xtask` can be asked for.
pub(crate) struct Command {
    /// The word that asks for it.
    pub(crate) name: &'static str,
    /// One line for the help page.
    pub(crate) about: &'static str,
    /// Does it, with the arguments after the name.
    pub(crate) run: fn(&[String]) -> Outcome,
}

/// Every command, in the order of the help page. A new chore is a new line here.
const COMMANDS: &[Command] = &[
    Command {
        name: "test",
        about: "everything below, in this order; stops at the first step that fails",
        run: test,
    },
    Command {
        name: "install",
        about: "put what the tests need on this machine: servers, python3 with redis-py, rustfmt, clippy",
        run: install::install,
    },
    Command {
        name: "fmt",
        about: "check the formatting (`cargo fmt --all` repairs it)",
        run: cargo::fmt,
    },
    Command {
        name: "clippy",
        about: "lint all targets, warnings are errors",
        run: cargo::clippy,
    },
    Command {
        name: "unit",
        about: "run all tests, doc tests included",
        run: cargo::unit,
    },
    Command {
        name: "examples",
        about: "run the example programs",
        run: cargo::examples,
    },
    Command {
        name: "sim",
        about: "simulate a mesh under faults: fixed seeds and a few new ones; `--seed N` plays one, `--runs N [--from SEED]` searches",
        run: sim::sim,
    },
    Command {
        name: "mutants",
        about: "not part of `test`: plant known bugs, and see after how many runs the simulator finds each; or those with these words in their name",
        run: mutants::mutants,
    },
    Command {
        name: "fuzz",
        about: "not part of `test`: throw random bytes at what reads them; `[target …] [runs]`, else all targets a million times. Needs g++",
        run: fuzz::fuzz,
    },
    Command {
        name: "doc",
        about: "build the documentation, warnings are errors",
        run: cargo::doc,
    },
    Command {
        name: "help",
        about: "this page",
        run: help,
    },
];

/// The steps of `test`, by name.
const TEST_STEPS: [&str; 7] = ["install", "fmt", "clippy", "unit", "examples", "sim", "doc"];

/// Runs the command that the first argument names; the help page without one.
pub(crate) fn dispatch(args: &[String]) -> Outcome {
    match args.split_first() {
        None => help(&[]),
        Some((name, rest)) => (find(name)?.run)(rest),
    }
}

fn find(name: &str) -> Result<&'static Command, Failure> {
    COMMANDS
        .iter()
        .find(|command| command.name == name)
        .ok_or_else(|| {
            Failure::new(format!(
                "no command `{name}`; `cargo xtask help` lists them"
            ))
        })
}

fn test(args: &[String]) -> Outcome {
    no_arguments(args)?;
    let found: Result<Vec<_>, _> = TEST_STEPS.into_iter().map(find).collect();
    steps(&found?)
}

fn help(args: &[String]) -> Outcome {
    no_arguments(args)?;
    println!("cargo xtask COMMAND\n");
    for Command { name, about, .. } in COMMANDS {
        println!("  {name:<10} {about}");
    }
    Ok(())
}

/// For commands that take none: a mistyped call must not do something else.
pub(crate) fn no_arguments(args: &[String]) -> Outcome {
    match args.first() {
        None => Ok(()),
        Some(first) => Err(Failure::new(format!("unexpected argument `{first}`"))),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_distinct_and_every_test_step_exists() {
        let names: HashSet<_> = COMMANDS.iter().map(|command| command.name).collect();
        assert_eq!(names.len(), COMMANDS.len());
        for step in TEST_STEPS {
            assert!(find(step).is_ok(), "{step}");
        }
    }

    #[test]
    fn unknown_commands_and_arguments_are_refused() {
        assert!(dispatch(&["nonsense".into()]).is_err());
        assert!(dispatch(&["help".into(), "--now".into()]).is_err());
    }
}
