use std::{path::Path, process::Command};

use crate::{
    place::is_installed,
    run::{Failure, Outcome, run, succeeds},
};

/// Debian asks this program whether a freshly installed service may start; 101 means no.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Installs Debian packages; no service in them is started.
///
/// Elsewhere, and without the right to, it fails and says what to install.
pub(crate) fn install(packages: &[&str]) -> Outcome {
    let by_hand = || {
        let packages = packages.join(" ");
        Failure::new(format!(
            "missing: {packages}. Install these Debian packages, or what they are called on this system, and run \
             this again: apt-get install {packages}"
        ))
    };
    if !is_installed("apt-get") {
        return Err(by_hand());
    }
    let root = Root::get().ok_or_else(by_hand)?;
    println!("installing {}", packages.join(" "));
    let _closed = ServicesStayDown::begin(root)?;
    run(root.apt_get().arg("update"))?;
    run(root
        .apt_get()
        .args(["install", "-y", "--no-install-recommends"])
        .args(packages))
}

/// How to do what only root may.
#[derive(Clone, Copy)]
enum Root {
    AlreadyIs,
    BySudo,
}

impl Root {
    /// `None` without the right to; a password is never asked for.
    fn get() -> Option<Root> {
        if succeeds(Command::new("sh").args(["-c", "test \"$(id -u)\" = 0"])) {
            Some(Root::AlreadyIs)
        } else if succeeds(Command::new("sudo").args(["-n", "true"])) {
            Some(Root::BySudo)
        } else {
            None
        }
    }

    fn command(self, program: &str) -> Command {
        match self {
            Root::AlreadyIs => Command::new(program),
            Root::BySudo => {
                let mut command = Command::new("sudo");
                command.args(["-n", program]);
                command
            }
        }
    }

    fn apt_get(self) -> Command {
        let mut command = self.command("env"); // sudo drops the environment
        command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]);
        command.args(["-o", "DPkg::Lock::Timeout=300"]);
        command
    }
}

/// While this lives, installed services are not started. A policy that is already there is left alone.
struct ServicesStayDown {
    root: Root,
    ours: bool,
}

impl ServicesStayDown {
    fn begin(root: Root) -> Result<ServicesStayDown, Failure> {
        let ours = !Path::new(POLICY).exists();
        if ours {
            let script =
                format!("printf '#!/bin/sh\\nexit 101\\n' > {POLICY} && chmod 755 {POLICY}");
            run(root.command("sh").args(["-c", &script]))?;
        }
        Ok(ServicesStayDown { root, ours })
    }
}

impl Drop for ServicesStayDown {
    fn drop(&mut self) {
        if self.ours
            && let Err(why) = run(self.root.command("rm").args(["-f", POLICY]))
        {
            eprintln!("xtask: remove {POLICY} by hand, services do not start with it: {why}");
        }
    }
}
