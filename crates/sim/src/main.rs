//! `sim --seed N`: plays one run, and prints its log. `sim --runs N [--from SEED]`: searches for a run that fails.

use std::process::ExitCode;

fn main() -> ExitCode {
    // A panic inside a run is part of its report.
    std::panic::set_hook(Box::new(|_| {}));
    let mut args = std::env::args().skip(1);
    let (mut seed, mut runs, mut from) = (None, None, 0u64);
    while let Some(name) = args.next() {
        let value = args.next().and_then(|value| value.parse::<u64>().ok());
        match (name.as_str(), value) {
            ("--seed", Some(value)) => seed = Some(value),
            ("--runs", Some(value)) => runs = Some(value),
            ("--from", Some(value)) => from = value,
            _ => {
                eprintln!("usage: sim --seed N | sim --runs N [--from SEED]");
                return ExitCode::from(2);
            }
        }
    }
    match (seed, runs) {
        (Some(seed), _) => one(seed),
        (None, runs) => many(from, runs.unwrap_or(100)),
    }
}

fn one(seed: u64) -> ExitCode {
    let report = sim::run::run(seed);
    print!("{}", report.log);
    match report.violations.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn many(from: u64, runs: u64) -> ExitCode {
    let mut failed = Vec::new();
    let mut acknowledged = 0;
    for seed in from..from + runs {
        let report = sim::run::run(seed);
        acknowledged += report.acknowledged;
        if let Some(first) = report.violations.first() {
            println!("seed {seed}: {first}");
            failed.push(seed);
        }
    }
    println!(
        "{runs} runs from seed {from}, {acknowledged} acknowledged writes, {} failed",
        failed.len()
    );
    match failed.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
