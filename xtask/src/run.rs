use std::{
    fmt,
    process::{Command as Process, Stdio},
    time::{Duration, Instant},
};

use crate::commands::Command;

/// What a command ends with.
pub(crate) type Outcome = Result<(), Failure>;

/// Why a chore failed, in words for the person who asked for it.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(why: impl Into<String>) -> Failure {
        Failure(why.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Runs the steps one after the other, says how long each took, and stops at the first that fails.
pub(crate) fn steps(steps: &[&Command]) -> Outcome {
    let mut taken: Vec<(&str, Duration)> = Vec::new();
    for step in steps {
        println!("── {}: {}", step.name, step.about);
        let since = Instant::now();
        let outcome = (step.run)(&[]);
        let took = since.elapsed();
        if let Err(why) = outcome {
            return Err(Failure::new(format!(
                "step `{}` failed after {:.1} s: {why}",
                step.name,
                took.as_secs_f64()
            )));
        }
        println!("── {}: done in {:.1} s\n", step.name, took.as_secs_f64());
        taken.push((step.name, took));
    }
    for (name, took) in &taken {
        println!("  {name:<10} {:>7.1} s", took.as_secs_f64());
    }
    let total: Duration = taken.iter().map(|(_, took)| took).sum();
    println!("  {:<10} {:>7.1} s", "all", total.as_secs_f64());
    Ok(())
}

/// Runs a program to its end, its output shown; anything but success is a failure that names the call.
pub(crate) fn run(process: &mut Process) -> Outcome {
    let call = call(process);
    match process.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::new(format!("`{call}`: {status}"))),
        Err(error) => Err(Failure::new(format!("`{call}`: {error}"))),
    }
}

/// Whether a program can be run and succeeds; its output is not shown.
pub(crate) fn succeeds(process: &mut Process) -> bool {
    process
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn call(process: &Process) -> String {
    let mut words = vec![process.get_program().to_string_lossy()];
    words.extend(process.get_args().map(|arg| arg.to_string_lossy()));
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAILING: Command = Command {
        name: "falls",
        about: "",
        run: |_| run(Process::new("sh").args(["-c", "exit 3"])),
    };

    const UNREACHED: Command = Command {
        name: "unreached",
        about: "",
        run: |_| panic!("a step ran after a failed one"),
    };

    #[test]
    fn the_first_failing_step_is_named_and_is_the_last() {
        let failure = steps(&[&FAILING, &UNREACHED]).unwrap_err().to_string();
        assert!(failure.contains("step `falls` failed"), "{failure}");
        assert!(failure.contains("exit 3"), "{failure}");
    }

    #[test]
    fn a_missing_program_does_not_succeed() {
        assert!(!succeeds(&mut Process::new("no-such-program")));
        assert!(run(&mut Process::new("no-such-program")).is_err());
    }
}
