//! The project's chores: `cargo xtask help` lists them.
#![deny(missing_docs)]
#![allow(clippy::disallowed_methods)] // a command line tool, with a real clock

/// The one list of everything that can be asked for.
mod commands;

/// Getting what the tests need onto the machine.
mod install;

/// Cargo's own chores, with our flags.
mod cargo;

/// Simulated meshes.
mod sim;

/// Random bytes for everything that reads what strangers send.
mod fuzz;

/// Bugs planted to see whether the simulator finds them.
mod mutants;

/// Running programs, steps and the time they take.
mod run;

/// Where things are: the workspace, its target directory, programs.
mod place;

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    match commands::dispatch(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}
