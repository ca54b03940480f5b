use std::{
    ffi::OsString,
    io::{self, BufRead, BufReader, Write},
    ops::Deref,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    error::{During, TestbedError},
    port::PortLease,
    program::find,
    server_process::{Recipe, ServerProcess, fresh_dir, on_free_port},
};

const NAME: &str = "redis-server";

/// Longer than any answer the testbed waits for takes.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// A private Redis. It keeps nothing on disk unless asked to with [`start_with`](Self::start_with), so
/// [`restart`](ServerProcess::restart) empties it.
pub struct RedisServer {
    process: ServerProcess,
    socket: PathBuf,
}

impl RedisServer {
    /// Starts a Redis and waits until it answers.
    ///
    /// # Errors
    /// A missing program, or a server that does not come up; both say what to do or what it logged.
    pub fn start() -> Result<RedisServer, TestbedError> {
        RedisServer::start_with(&[])
    }

    /// Starts a Redis with more options, as on its command line: `["--appendonly", "yes"]`. They win over the defaults.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_with(args: &[&str]) -> Result<RedisServer, TestbedError> {
        on_free_port(|lease| RedisServer::start_on(lease, args))
    }

    fn start_on(lease: PortLease, args: &[&str]) -> Result<RedisServer, TestbedError> {
        let program = find(NAME, "redis-server")?;
        let dir = fresh_dir("redis")?;
        let socket = dir.path().join("redis.sock");
        let probe = socket.clone();
        let process = ServerProcess::start(Recipe {
            name: NAME,
            program,
            args: arguments(dir.path(), &socket, lease.port(), args),
            account: None,
            lease,
            dir,
            socket: socket.clone(),
            // With a password asked for, -NOAUTH is a sign of life too; -LOADING means not yet.
            ready: Box::new(move || {
                ask(&probe, "PING")
                    .is_ok_and(|answer| answer == "+PONG" || answer.starts_with("-NOAUTH"))
            }),
        })?;
        Ok(RedisServer { process, socket })
    }

    /// `redis://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}", self.addr())
    }

    /// Deletes all keys, streams included.
    ///
    /// # Errors
    /// When the server is down, paused for more than ten seconds, or asks for a password.
    pub fn flush_all(&self) -> Result<(), TestbedError> {
        let question = "FLUSHALL";
        let answer = ask(&self.socket, question).during("ask redis-server for FLUSHALL")?;
        if answer == "+OK" {
            return Ok(());
        }
        Err(TestbedError::Answer {
            server: NAME,
            question: question.to_owned(),
            answer,
        })
    }
}

impl Deref for RedisServer {
    type Target = ServerProcess;

    fn deref(&self) -> &ServerProcess {
        &self.process
    }
}

fn arguments(dir: &Path, socket: &Path, port: u16, extra: &[&str]) -> Vec<OsString> {
    let port = port.to_string();
    let defaults = ["--port", &port, "--bind", "127.0.0.1", "--save", ""];
    let mut args: Vec<OsString> = defaults.map(OsString::from).into();
    args.extend(["--appendonly", "no", "--dir"].map(OsString::from));
    args.push(dir.into());
    args.push("--unixsocket".into());
    args.push(socket.into());
    args.extend(extra.iter().map(OsString::from));
    args
}

/// Sends one command and returns the first line of the answer.
fn ask(socket: &Path, command: &str) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    stream.write_all(format!("{command}\r\n").as_bytes())?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    Ok(answer.trim_end().to_owned())
}
