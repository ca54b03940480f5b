//! One node as a process of its own: this very program with `serve`.
//!
//! The rule: no node outlives the demo. It is killed when this is dropped; and should the demo itself be killed, the
//! node's standard input ends, which stops it.

use std::fs::{File, OpenOptions};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::error::DemoError;
use super::http;
use super::place::Addresses;
use super::{NAMES, settings};

/// How long a node may take until it serves.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// How long a node may take to stop when it is asked to.
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// How often it is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(20);

/// Lines of a log shown when something went wrong.
const TAIL_LINES: usize = 15;

/// A node, running or not.
#[derive(Debug)]
pub struct NodeProcess {
    index: usize,
    addresses: Addresses,
    directory: PathBuf,
    child: Option<Child>,
}

impl NodeProcess {
    /// Prepares the node's directory: `peers` are the others' indices and the ways to them.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn prepare(
        index: usize,
        addresses: Addresses,
        home: &Path,
        peers: &[(usize, SocketAddr)],
    ) -> Result<Self, DemoError> {
        let directory = home.join(NAMES.get(index).copied().unwrap_or("?"));
        let path = directory.join("redsqrl.yaml");
        let fault = |source| DemoError::File {
            path: path.clone(),
            source,
        };
        std::fs::create_dir_all(&directory).map_err(fault)?;
        std::fs::write(&path, settings::yaml(index, addresses, &directory, peers))
            .map_err(fault)?;
        Ok(Self {
            index,
            addresses,
            directory,
            child: None,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Its process, if it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    fn log_path(&self) -> PathBuf {
        self.directory.join("node.log")
    }

    /// Starts the process. It serves only when [`NodeProcess::ready`] says so.
    ///
    /// # Errors
    /// The system does not let us.
    pub fn start(&mut self) -> Result<(), DemoError> {
        let fault = |source| DemoError::Start {
            node: self.index,
            source,
        };
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_path())
            .map_err(fault)?;
        let program = std::env::current_exe().map_err(fault)?;
        let mut command = Command::new(program);
        command
            .arg("serve")
            .arg("--stop-with-stdin")
            .arg("--config")
            .arg(self.directory.join("redsqrl.yaml"));
        // The user's own settings are for the user's own nodes.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("REDSQRL") {
                command.env_remove(name);
            }
        }
        command
            .env("NO_COLOR", "1")
            .stdin(Stdio::piped())
            .stdout(both(&log).map_err(fault)?)
            .stderr(log);
        self.child = Some(command.spawn().map_err(fault)?);
        Ok(())
    }

    /// Waits until it serves.
    ///
    /// # Errors
    /// It ended by itself, or takes too long.
    pub async fn ready(&mut self) -> Result<(), DemoError> {
        let began = Instant::now();
        loop {
            self.alive()?;
            let asked = http::ask(
                self.addresses.http,
                "GET",
                "/ready",
                b"",
                Duration::from_secs(1),
            )
            .await;
            let seen = match asked {
                Ok(answer) if answer.status == 200 => return Ok(()),
                Ok(answer) => String::from_utf8_lossy(&answer.body).trim().to_string(),
                Err(error) => error.to_string(),
            };
            if began.elapsed() > READY_LIMIT {
                let what = format!(
                    "node {} to serve",
                    NAMES.get(self.index).copied().unwrap_or("?")
                );
                return Err(DemoError::Late {
                    what,
                    limit: READY_LIMIT,
                    seen,
                });
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// That it still runs.
    ///
    /// # Errors
    /// It ended by itself.
    pub fn alive(&mut self) -> Result<(), DemoError> {
        let fault = |source| DemoError::Start {
            node: self.index,
            source,
        };
        let ended = self
            .child
            .as_mut()
            .map(Child::try_wait)
            .transpose()
            .map_err(fault)?
            .flatten();
        match (ended, &self.child) {
            (None, Some(_)) => Ok(()),
            (Some(status), _) => Err(DemoError::Died {
                node: self.index,
                status: status.to_string(),
            }),
            (None, None) => Err(DemoError::Died {
                node: self.index,
                status: "not started".into(),
            }),
        }
    }

    /// SIGKILL: it has no time for anything. Returns when it is gone.
    ///
    /// # Errors
    /// The system does not let us.
    pub fn kill(&mut self) -> Result<(), DemoError> {
        let Some(mut child) = self.child.take() else {
            return Ok(());
        };
        let killed = child.kill().and_then(|()| child.wait());
        killed.map(drop).map_err(|source| DemoError::Start {
            node: self.index,
            source,
        })
    }

    /// Asks it to stop; whether it did so by itself, in time, and without a complaint.
    pub async fn stop(&mut self) -> bool {
        let Some(mut child) = self.child.take() else {
            return true;
        };
        drop(child.stdin.take());
        let status = wait(&mut child).await;
        if status.is_none() {
            end(&mut child);
        }
        status.is_some_and(|status| status.success())
    }

    /// The end of its log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let log = std::fs::read(self.log_path()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines
            .get(lines.len().saturating_sub(TAIL_LINES)..)
            .unwrap_or_default()
            .join("\n")
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            end(child);
        }
    }
}

fn both(log: &File) -> std::io::Result<File> {
    log.try_clone()
}

async fn wait(child: &mut Child) -> Option<ExitStatus> {
    let began = Instant::now();
    while began.elapsed() < STOP_LIMIT {
        match child.try_wait() {
            Ok(None) => tokio::time::sleep(LOOK).await,
            Ok(status) => return status,
            Err(_) => return None,
        }
    }
    None
}

/// Nobody is left to be told if this fails.
fn end(child: &mut Child) {
    child.kill().ok();
    child.wait().ok();
}
