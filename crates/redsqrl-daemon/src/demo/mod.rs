//! `redsqrl demo`: a small mesh on this machine, to look at.

use clap::Args;

/// Show a small mesh on this machine.
#[derive(Debug, Args)]
pub struct Demo {}

impl Demo {
    /// Runs the demo until it is told to stop.
    ///
    /// # Errors
    /// What could not be started.
    pub fn run(self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        Err("the demo is not part of this build".into())
    }
}
