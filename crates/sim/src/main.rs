//! `sim --seed N`: plays one run, and prints its log. `sim --runs N [--from SEED]`: searches for runs that fail;
//! `sim --until N [--from SEED]`: the same, and stops at the first.

use std::process::ExitCode;

/// Characters of a violation that a search shows.
const SHOWN: usize = 240;

/// What was asked for.
enum Task {
    Play(u64),
    Search { runs: u64, stops: bool },
}

fn main() -> ExitCode {
    // A panic inside a run is part of its report.
    std::panic::set_hook(Box::new(|_| {}));
    let args: Vec<String> = std::env::args().skip(1).collect();
    match read(&args) {
        Some((Task::Play(seed), _)) => play(seed),
        Some((Task::Search { runs, stops }, from)) => search(from, runs, stops),
        None => {
            eprintln!(
                "usage: sim --seed N | sim --runs N [--from SEED] | sim --until N [--from SEED]"
            );
            ExitCode::from(2)
        }
    }
}

fn read(args: &[String]) -> Option<(Task, u64)> {
    let (mut task, mut from) = (None, 0);
    for pair in args.chunks(2) {
        let [name, value] = pair else { return None };
        let value: u64 = value.parse().ok()?;
        match name.as_str() {
            "--seed" => task = Some(Task::Play(value)),
            "--runs" => {
                task = Some(Task::Search {
                    runs: value,
                    stops: false,
                })
            }
            "--until" => {
                task = Some(Task::Search {
                    runs: value,
                    stops: true,
                })
            }
            "--from" => from = value,
            _ => return None,
        }
    }
    Some((task?, from))
}

fn play(seed: u64) -> ExitCode {
    let report = sim::run::run(seed);
    print!("{}", report.log);
    match report.violations.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn search(from: u64, runs: u64, stops: bool) -> ExitCode {
    let (mut played, mut failed, mut acknowledged) = (0, 0, 0);
    for seed in from..from.saturating_add(runs) {
        let report = sim::run::run(seed);
        played += 1;
        acknowledged += report.acknowledged;
        if let Some(first) = report.violations.first() {
            let shown: String = first.chars().take(SHOWN).collect();
            println!("seed {seed}: {shown}");
            failed += 1;
            if stops {
                break;
            }
        }
    }
    println!("{played} runs from seed {from}, {acknowledged} acknowledged writes, {failed} failed");
    match failed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}
