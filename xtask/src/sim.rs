use std::time::{SystemTime, UNIX_EPOCH};

use crate::{
    cargo::cargo,
    run::{Outcome, run},
};

/// Runs that are the same each time.
const FIXED: u64 = 400;
/// Runs of seeds that were never tried.
const FRESH: u64 = 100;

/// Without arguments what the tests run: some seconds a hundred runs. Else what the simulator itself is asked.
pub(crate) fn sim(args: &[String]) -> Outcome {
    if !args.is_empty() {
        return run(simulator().args(args));
    }
    run(simulator().args(["--runs", &FIXED.to_string()]))?;
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let from = since.map_or(0, |since| since.as_millis()).to_string();
    run(simulator().args(["--runs", &FRESH.to_string(), "--from", &from]))
}

/// Optimized: a run takes a tenth of a second then, and two otherwise.
fn simulator() -> std::process::Command {
    let mut simulator = cargo();
    simulator.args(["run", "--quiet", "--release", "--package", "sim", "--"]);
    simulator
}
