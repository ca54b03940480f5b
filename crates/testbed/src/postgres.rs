use std::{
    ffi::OsString,
    hash::{DefaultHasher, Hash, Hasher},
    io::Write,
    ops::Deref,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};

use crate::{
    PASSWORD, USER,
    account::{Account, hand_over, run_as},
    error::{During, TestbedError},
    port::PortLease,
    program::{find, run},
    server_process::{Recipe, ServerProcess, fresh_dir, on_free_port},
    sql_server::{Client, SqlServer},
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
pub struct Postgres(SqlServer);

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
        let dir = fresh_dir("postgres")?;
        hand_over(dir.path(), account)?;
        template(&program, account)?.copy_to(&dir.path().join("data"), |data| {
            initialise(&program, data, account)
        })?;

        let port = lease.port();
        let client = Arc::new(CommandLine {
            program: psql,
            dir: dir.path().to_owned(),
            port,
        });
        let probe = client.clone();
        let process = ServerProcess::start(Recipe {
            name: NAME,
            program,
            args: arguments(dir.path(), port, args),
            account,
            lease,
            socket: dir.path().join(format!(".s.PGSQL.{port}")),
            dir,
            ready: Box::new(move || probe.run(USER, "SELECT 1").is_ok()),
        })?;
        Ok(Postgres(SqlServer::new("postgres", process, client)))
    }
}

impl Deref for Postgres {
    type Target = SqlServer;

    fn deref(&self) -> &SqlServer {
        &self.0
    }
}

/// The `psql` command line client, connected through the server's own socket.
struct CommandLine {
    program: PathBuf,
    dir: PathBuf,
    port: u16,
}

impl Client for CommandLine {
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
