use std::{fs, process::Command};

use crate::{error::TestbedError, program::run};

/// Sends a signal (`STOP`, `CONT`, `KILL`) to the process.
pub(crate) fn send(signal: &str, pid: u32) -> Result<(), TestbedError> {
    run(&mut kill(signal, &[pid])).map(drop)
}

/// Sends a signal to processes of which some may have ended meanwhile, which is fine.
pub(crate) fn send_to_living(signal: &str, pids: &[u32]) {
    if !pids.is_empty() {
        run(&mut kill(signal, pids)).ok();
    }
}

/// The shell's own `kill` is used: every system has it, also those without the `kill` program.
fn kill(signal: &str, pids: &[u32]) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "kill -s \"$0\" \"$@\"", signal]);
    shell.args(pids.iter().map(u32::to_string));
    shell
}

/// The processes that `pid` forked and that live: PostgreSQL serves each connection from one of those.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new(); // not Linux: the server alone is signalled
    };
    entries
        .filter_map(Result::ok)
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|child| {
            fs::read_to_string(format!("/proc/{child}/stat"))
                .is_ok_and(|stat| parent_in(&stat) == Some(pid))
        })
        .collect()
}

/// The parent's number in a `/proc/PID/stat` line. The name before it may hold spaces and parentheses.
fn parent_in(stat: &str) -> Option<u32> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_is_read_behind_any_name() {
        assert_eq!(parent_in("12 (a) b (c)) S 7 12 12 0"), Some(7));
        assert_eq!(parent_in("nothing of the kind"), None);
    }

    #[test]
    fn children_are_found_and_the_dead_do_not_shield_the_living() {
        let mut dead = Command::new("true").spawn().unwrap();
        dead.wait().unwrap();
        let mut child = Command::new("sleep").arg("30").spawn().unwrap();
        assert!(children(std::process::id()).contains(&child.id()));
        send_to_living("KILL", &[dead.id(), child.id()]);
        assert!(!child.wait().unwrap().success());
    }
}
