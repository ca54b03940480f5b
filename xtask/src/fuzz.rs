use std::{fs, path::PathBuf, process::Command};

use crate::{
    place::{root, target},
    run::{Failure, Outcome, run},
};

/// Runs of each target, when no number is given.
const RUNS: u64 = 1_000_000;

/// Memory above which a run has failed, in MiB: what a target reads is bounded far below.
const MEMORY_MB: u32 = 512;

/// libFuzzer's instrumentation, as stable compilers have it. No sanitizer: the code has no `unsafe` that could need one.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 -Clink-dead-code";

/// `[target …] [runs]`: those targets, or all of them.
pub(crate) fn fuzz(args: &[String]) -> Outcome {
    let known = targets()?;
    let (mut names, mut runs) = (Vec::new(), RUNS);
    for arg in args {
        match arg.parse() {
            Ok(number) => runs = number,
            Err(_) if known.contains(arg) => names.push(arg.clone()),
            Err(_) => return Err(unknown(arg, &known)),
        }
    }
    if names.is_empty() {
        names = known;
    }
    let host = host()?;
    let dir = target().join("fuzz");
    let mut build = Command::new(env!("CARGO"));
    build
        .args(["build", "--release", "--target", &host])
        .args(["--manifest-path", "fuzz/Cargo.toml"])
        .current_dir(root())
        .env("CARGO_TARGET_DIR", &dir)
        .env("RUSTFLAGS", FLAGS);
    run(&mut build)?;
    for name in names {
        println!("── {name}: {runs} runs");
        let (seeds, corpus) = (root().join("fuzz/seeds").join(&name), dir.join(&name));
        make(&corpus)?;
        let mut fuzzer = Command::new(dir.join(&host).join("release").join(&name));
        fuzzer.current_dir(&corpus).arg(corpus.join("corpus"));
        make(&corpus.join("corpus"))?;
        if seeds.is_dir() {
            fuzzer.arg(seeds);
        }
        fuzzer
            .arg(format!("-runs={runs}"))
            .arg(format!("-rss_limit_mb={MEMORY_MB}"))
            .args(["-max_len=8192", "-timeout=10", "-print_final_stats=1"])
            .args(["-verbosity=0", "-reload=0"]);
        run(&mut fuzzer)?;
    }
    Ok(())
}

/// Every target: a file each.
fn targets() -> Result<Vec<String>, Failure> {
    let dir = root().join("fuzz/targets");
    let unreadable = |error| Failure::new(format!("{}: {error}", dir.display()));
    let mut names = Vec::new();
    for entry in fs::read_dir(&dir).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into()));
    }
    names.sort();
    Ok(names)
}

fn unknown(arg: &str, known: &[String]) -> Failure {
    Failure::new(format!(
        "no target and no number is called `{arg}`; there are {}",
        known.join(", ")
    ))
}

fn make(dir: &PathBuf) -> Outcome {
    fs::create_dir_all(dir).map_err(|error| Failure::new(format!("{}: {error}", dir.display())))
}

/// The compiler's own platform. Named, so that build scripts are not instrumented.
fn host() -> Result<String, Failure> {
    let rustc = Command::new("rustc").arg("-vV").output();
    let output = rustc.map_err(|error| Failure::new(format!("rustc -vV: {error}")))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned)
        .ok_or_else(|| Failure::new("rustc -vV names no host"))
}
