//! The command line: one file a command.

mod export;

mod files;

mod import;

mod remote;

mod serve;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use export::Export;
pub use import::Import;
pub use serve::Serve;

/// Tiered storage that keeps many nodes equal.
#[derive(Debug, Parser)]
#[command(name = "redsqrl", version, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a node until it is told to stop (SIGTERM, Ctrl-C); SIGHUP reads the settings again.
    Serve(Serve),
    /// Put the items of a file into a running node.
    Import(Import),
    /// Write the items of a running node into a file.
    Export(Export),
    /// Show a mesh of three nodes on this machine: load, cut, kill, heal, check.
    Demo(crate::demo::Demo),
    /// Show the version.
    Version,
}

/// Why a command failed: shown as it is, after `error:`.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Runs the command; gives the exit code of the process.
#[must_use]
pub fn run(cli: Cli) -> ExitCode {
    let done = match cli.command {
        Command::Serve(serve) => serve.run(),
        Command::Import(import) => import.run().map(|()| ExitCode::SUCCESS),
        Command::Export(export) => export.run().map(|()| ExitCode::SUCCESS),
        Command::Demo(demo) => demo.run(),
        Command::Version => {
            say(&format!("redsqrl {}", env!("CARGO_PKG_VERSION")));
            Ok(ExitCode::SUCCESS)
        }
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::FAILURE
    })
}

/// Prints a line. Nobody reading it is no reason to end.
fn say(line: &str) {
    use std::io::Write;
    writeln!(std::io::stdout(), "{line}").ok();
}
