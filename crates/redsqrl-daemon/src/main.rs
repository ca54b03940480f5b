//! The program `redsqrl`.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    redsqrl_daemon::cli::run(redsqrl_daemon::cli::Cli::parse())
}
