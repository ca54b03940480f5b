use std::{
    ffi::OsString,
    hash::{DefaultHasher, Hash, Hasher},
    io::Write,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use tempfile::TempDir;

use crate::{
    PASSWORD, USER,
    account::{Account, hand_over, run_as},
    error::{During, TestbedError},
    mariadb::database_of,
    port::PortLease,
    program::{find, run},
    server_process::{Recipe, ServerProcess, on_free_port},
    template::Template,
};

const NAME: &str = "postgres";
const PACKAGE: &str = "postgresql";
const ACCOUNT: &str = "postgres";

/// What the data directory is made with; a change of it makes a new template.
const INITDB: [&str; 6] = [
    "--username=postgres",
    "--auth-local=trust",
    "--auth-host=scram-sha-256",
    "--encoding=UTF8",
    "--locale=C",
    "--no-sync",
];

/// Later settings win, so a test can set any of them otherwise. A commit reaches the operating system but not the
/// disk: what was committed survives `kill`, which is all a test can do to it.
const DEFAULTS: [&str; 4] = [
    "listen_addresses=127.0.0.1",
    "fsync=off",
    "full_page_writes=off",
    "max_connections=200",
];

/// A private PostgreSQL with one ordinary user, who may create databases.
pub struct Postgres {
    process: ServerProcess, // dropped first: the server ends before its files go
    client: Client,
    databases: AtomicU32,
    lease: PortLease,
    _dir: TempDir,
}

impl Postgres {
    /// Starts a PostgreSQL and waits until it answers. The first start on a machine takes seconds longer.
    ///
    /// # Errors
    /// A missing program, or a server that does not come up; both say what to do or what it logged.
    pub fn start() -> Result<Postgres, TestbedError> {
        Postgres::start_with(&[])
    }

    /// Starts a PostgreSQL with more options, as on its command line: `["-c", "fsync=on"]`. They win over the defaults.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_with(args: &[&str]) -> Result<Postgres, TestbedError> {
        on_free_port(|lease| Postgres::start_on(lease, args))
    }

    fn start_on(lease: PortLease, args: &[&str]) -> Result<Postgres, TestbedError> {
        let program = find(NAME, PACKAGE)?;
        let psql = client(&program)?;
        let account = Account::for_server(ACCOUNT, PACKAGE)?;
        let dir = tempfile::Builder::new()
            .prefix("redsqrl-postgres-")
            .tempdir()
            .during("create a temporary directory")?;
        hand_over(dir.path(), account)?;
        template(&program, account)?.copy_to(&dir.path().join("data"), |data| {
            initialise(&program, data, account)
        })?;

        let port = lease.port();
        let client = Client {
            program: psql,
            dir: dir.path().to_owned(),
            port,
        };
        let probe = client.clone();
        let process = ServerProcess::start(Recipe {
            name: NAME,
            program,
            args: arguments(dir.path(), port, args),
            account,
            dir: dir.path().to_owned(),
            socket: dir.path().join(format!(".s.PGSQL.{port}")),
            ready: Box::new(move || probe.run(USER, "SELECT 1").is_ok()),
        })?;
        Ok(Postgres {
            process,
            client,
            databases: AtomicU32::new(0),
            lease,
            _dir: dir,
        })
    }

    /// `postgres://USER:PASSWORD@127.0.0.1:PORT/redsqrl`.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of(USER)
    }

    /// Creates an empty database and returns its URL, so that tests can share the server.
    ///
    /// # Errors
    /// When the server is down.
    pub fn fresh_database(&self) -> Result<String, TestbedError> {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("{USER}_{number}");
        self.sql(USER, &format!("CREATE DATABASE {name}"))?;
        Ok(self.url_of(&name))
    }

    /// Runs SQL behind the back of the code under test and returns the rows, one a line with `|` between the columns,
    /// as `psql` prints them. The database is given by name or by a URL that ends in it.
    ///
    /// # Errors
    /// When the server is down or refuses the statement, with its words.
    pub fn sql(&self, database: &str, statement: &str) -> Result<String, TestbedError> {
        self.client.run(database_of(database), statement)
    }

    /// The port, the same for the whole life of this value.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.lease.port()
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port()).into()
    }

    /// SIGKILL to the server and the processes that serve its connections, as in a crash. Its data stay; killing
    /// twice is fine.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill(&self) -> Result<(), TestbedError> {
        self.process.kill()
    }

    /// Kills it if it runs, and starts it again on the same port and data.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn restart(&self) -> Result<(), TestbedError> {
        self.process.restart()
    }

    /// SIGSTOP: connections stay open, nothing answers.
    ///
    /// # Errors
    /// [`TestbedError::NotRunning`] after a kill.
    pub fn pause(&self) -> Result<(), TestbedError> {
        self.process.pause()
    }

    /// SIGCONT: undoes [`pause`](Self::pause).
    ///
    /// # Errors
    /// [`TestbedError::NotRunning`] after a kill.
    pub fn resume(&self) -> Result<(), TestbedError> {
        self.process.resume()
    }

    fn url_of(&self, database: &str) -> String {
        format!("postgres://{USER}:{PASSWORD}@{}/{database}", self.addr())
    }
}

/// The `psql` command line client, connected through the server's own socket.
#[derive(Clone)]
struct Client {
    program: PathBuf,
    dir: PathBuf,
    port: u16,
}

impl Client {
    fn run(&self, database: &str, statement: &str) -> Result<String, TestbedError> {
        run(Command::new(&self.program)
            .args(["--no-psqlrc", "--no-align", "--tuples-only", "--quiet"])
            .args(["--no-password", "--set=ON_ERROR_STOP=1", "--host"])
            .arg(&self.dir)
            .args(["--port", &self.port.to_string(), "--username", USER])
            .args(["--dbname", database, "--command", statement])
            .env("PGCONNECT_TIMEOUT", "10"))
    }
}

/// The `psql` of the server's own version. Debian's in `PATH` is a slow script that looks for clusters first.
fn client(server: &Path) -> Result<PathBuf, TestbedError> {
    let beside = server
        .canonicalize()
        .on("resolve", server)?
        .with_file_name("psql");
    if beside.is_file() {
        return Ok(beside);
    }
    find("psql", PACKAGE)
}

fn arguments(dir: &Path, port: u16, extra: &[&str]) -> Vec<OsString> {
    let mut args: Vec<OsString> = vec![
        "-D".into(),
        dir.join("data").into(),
        "-k".into(),
        dir.into(),
    ];
    args.extend(["-p".into(), port.to_string().into()]);
    for setting in DEFAULTS {
        args.extend(["-c", setting].map(OsString::from));
    }
    args.extend(extra.iter().map(OsString::from));
    args
}

fn template(program: &Path, account: Option<Account>) -> Result<Template, TestbedError> {
    let mut hasher = DefaultHasher::new();
    run(Command::new(program).arg("--version"))?.hash(&mut hasher);
    INITDB.hash(&mut hasher);
    owner_sql().hash(&mut hasher);
    Template::named(&format!("postgres-{:016x}", hasher.finish()), account)
}

fn initialise(program: &Path, data: &Path, account: Option<Account>) -> Result<(), TestbedError> {
    let mut initdb = Command::new(find("initdb", PACKAGE)?);
    initdb.args(INITDB).arg("-D").arg(data).current_dir(data);
    run_as(&mut initdb, account);
    run(&mut initdb)?;

    // Single-user mode reads one statement a line and ends with its input.
    let mut single = Command::new(program);
    single
        .args(["--single", "-j", "-D"])
        .arg(data)
        .arg("template1");
    single.current_dir(data).stdin(statements(&owner_sql())?);
    run_as(&mut single, account);
    run(&mut single).map(drop)
}

/// With `-j` a statement ends with a semicolon and an empty line. The database that initdb made is renamed: a new one
/// would be three hundred more files to copy for every server.
fn owner_sql() -> String {
    [
        format!("CREATE ROLE {USER} LOGIN CREATEDB PASSWORD '{PASSWORD}'"),
        format!("ALTER DATABASE postgres RENAME TO {USER}"),
        format!("ALTER DATABASE {USER} OWNER TO {USER}"),
    ]
    .map(|statement| statement + ";\n\n")
    .concat()
}

fn statements(sql: &str) -> Result<Stdio, TestbedError> {
    let (reader, mut writer) = std::io::pipe().during("create a pipe")?;
    // Far smaller than a pipe's buffer, so this does not wait for a reader.
    writer.write_all(sql.as_bytes()).during("write to a pipe")?;
    Ok(reader.into())
}
