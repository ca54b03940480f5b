use std::{
    ffi::OsString,
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::{Child, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    thread::sleep,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    account::{Account, run_as},
    error::{During, TestbedError},
    launch::{dies_with_us, launch},
    port::PortLease,
    signal,
};

/// Long enough for a loaded machine and for crash recovery.
const START_TIMEOUT: Duration = Duration::from_secs(60);

const POLL_INTERVAL: Duration = Duration::from_millis(15);

const PORT_TRIES: u32 = 5;

const LOG_TAIL_CHARS: usize = 3_000;

/// How to start a server, the same way each time.
pub(crate) struct Recipe {
    pub(crate) name: &'static str,
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<OsString>,
    pub(crate) account: Option<Account>,
    /// The port it listens on.
    pub(crate) lease: PortLease,
    /// The server's working directory; its log goes there too.
    pub(crate) dir: TempDir,
    /// The Unix socket in `dir`. It proves that the server that answers is ours and not another one on our port.
    pub(crate) socket: PathBuf,
    /// Whether the server answers on its socket.
    pub(crate) ready: Box<dyn Fn() -> bool + Send + Sync>,
}

/// A server that runs, is paused, or was killed. Drop kills it in any case, then removes its files.
pub struct ServerProcess {
    recipe: Recipe,
    child: Mutex<Option<Child>>,
}

impl ServerProcess {
    /// Starts the server and waits until it answers.
    pub(crate) fn start(recipe: Recipe) -> Result<ServerProcess, TestbedError> {
        let process = ServerProcess {
            recipe,
            child: Mutex::new(None),
        };
        process.restart()?;
        Ok(process)
    }

    /// The port, the same for the whole life of this value.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.recipe.lease.port()
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port()).into()
    }

    /// Kills it if it runs, starts it again on the same port and files, and waits until it answers.
    ///
    /// # Errors
    /// A server that does not come up, with what it logged.
    pub fn restart(&self) -> Result<(), TestbedError> {
        let mut child = self.lock();
        end(child.take())?;
        if self.recipe.socket.exists() {
            fs::remove_file(&self.recipe.socket).on("remove", &self.recipe.socket)?;
        }
        let started = child.insert(self.spawn()?);
        match self.wait_until_ready(started) {
            Ok(()) => Ok(()),
            Err(error) => {
                end(child.take())?;
                Err(error)
            }
        }
    }

    /// SIGKILL: the server and what it forked end at once, as in a crash. Its files stay; killing twice is fine.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill(&self) -> Result<(), TestbedError> {
        end(self.lock().take())
    }

    /// SIGSTOP: connections stay open, the kernel still accepts new ones, nothing answers.
    ///
    /// # Errors
    /// [`TestbedError::NotRunning`] after a kill.
    pub fn pause(&self) -> Result<(), TestbedError> {
        let pid = self.pid()?;
        signal::send("STOP", pid)?; // first, so that it forks no more
        signal::send_to_living("STOP", &signal::children(pid));
        Ok(())
    }

    /// SIGCONT: undoes [`pause`](Self::pause).
    ///
    /// # Errors
    /// [`TestbedError::NotRunning`] after a kill.
    pub fn resume(&self) -> Result<(), TestbedError> {
        let pid = self.pid()?;
        signal::send_to_living("CONT", &signal::children(pid));
        signal::send("CONT", pid)
    }

    fn pid(&self) -> Result<u32, TestbedError> {
        let server = self.recipe.name;
        let child = self.lock();
        // A child that was not waited for keeps its number, so the number cannot be somebody else's.
        child
            .as_ref()
            .map(Child::id)
            .ok_or(TestbedError::NotRunning { server })
    }

    fn lock(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spawn(&self) -> Result<Child, TestbedError> {
        let recipe = &self.recipe;
        let path = self.log_path();
        let log = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .on("open", &path)?;
        let mut command = dies_with_us(&recipe.program, &recipe.args);
        command
            .current_dir(recipe.dir.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().on("open", &path)?)
            .stderr(log);
        run_as(&mut command, recipe.account);
        launch(command).on("start", &recipe.program)
    }

    fn wait_until_ready(&self, child: &mut Child) -> Result<(), TestbedError> {
        let server = self.recipe.name;
        let since = Instant::now();
        while since.elapsed() < START_TIMEOUT {
            if let Some(status) = child.try_wait().during(format!("wait for {server}"))? {
                let log = self.log_tail();
                return Err(TestbedError::Ended {
                    server,
                    status,
                    log,
                });
            }
            if self.recipe.socket.exists() && (self.recipe.ready)() {
                return Ok(());
            }
            sleep(POLL_INTERVAL);
        }
        Err(TestbedError::Silent {
            server,
            waited: START_TIMEOUT,
            log: self.log_tail(),
        })
    }

    fn log_path(&self) -> PathBuf {
        self.recipe.dir.path().join("server.log")
    }

    fn log_tail(&self) -> String {
        match fs::read(self.log_path()) {
            Ok(bytes) => {
                let start = bytes.len().saturating_sub(LOG_TAIL_CHARS);
                String::from_utf8_lossy(bytes.get(start..).unwrap_or_default()).into_owned()
            }
            Err(error) => format!("(the log cannot be read: {error})"),
        }
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let child = self.lock().take();
        if let Err(error) = end(child) {
            eprintln!("testbed: {} was not stopped: {error}", self.recipe.name);
        }
    }
}

fn end(child: Option<Child>) -> Result<(), TestbedError> {
    let Some(mut child) = child else {
        return Ok(());
    };
    let ended = child.try_wait().during("look after a server")?;
    if ended.is_none() {
        let pid = child.id();
        signal::send_to_living("STOP", &[pid]); // so that it forks no more
        let forked = signal::children(pid);
        child.kill().during("kill a server")?;
        signal::send_to_living("KILL", &forked);
        child.wait().during("wait for a killed server")?;
    }
    Ok(())
}

/// A new directory for a server's files.
pub(crate) fn fresh_dir(server: &str) -> Result<TempDir, TestbedError> {
    tempfile::Builder::new()
        .prefix(&format!("redsqrl-{server}-"))
        .tempdir()
        .during("create a temporary directory")
}

/// Starts a server on a leased port; on another one if a stranger took that port in between.
pub(crate) fn on_free_port<T>(
    start: impl Fn(PortLease) -> Result<T, TestbedError>,
) -> Result<T, TestbedError> {
    let mut tries_left = PORT_TRIES;
    loop {
        tries_left -= 1;
        match start(PortLease::take()?) {
            Err(error) if tries_left > 0 && port_was_taken(&error) => {}
            result => return result,
        }
    }
}

fn port_was_taken(error: &TestbedError) -> bool {
    // All three servers pass on the system's own words.
    matches!(error, TestbedError::Ended { log, .. } if log.to_lowercase().contains("address already in use"))
}
