use std::{
    ffi::OsString,
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    ops::Deref,
    path::{Path, PathBuf},
    process::Command,
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

const NAME: &str = "mariadbd";
const PACKAGE: &str = "mariadb-server";
const ACCOUNT: &str = "mysql";

/// Options that make the data files; a change of theirs makes a new template.
const FORMAT: [&str; 1] = ["--innodb-log-file-size=32M"];

/// Later options win, so a test can set any of them otherwise. A commit reaches the operating system but not the disk:
/// what was committed survives `kill`, which is all a test can do to it. Packets hold a 16 MiB payload and its escapes.
const DEFAULTS: [&str; 6] = [
    "--innodb-flush-log-at-trx-commit=2",
    "--innodb-buffer-pool-size=64M",
    "--innodb-use-native-aio=0",
    "--max-allowed-packet=64M",
    "--character-set-server=utf8mb4",
    "--skip-name-resolve",
];

/// A private MariaDB with one user, who owns every database whose name starts with `redsqrl`.
pub struct MariaDb(SqlServer);

impl MariaDb {
    /// Starts a MariaDB and waits until it answers. The first start on a machine takes seconds longer.
    ///
    /// # Errors
    /// A missing program, or a server that does not come up; both say what to do or what it logged.
    pub fn start() -> Result<MariaDb, TestbedError> {
        MariaDb::start_with(&[])
    }

    /// Starts a MariaDB with more options, as on its command line: `["--innodb-flush-log-at-trx-commit=1"]`. They win
    /// over the defaults.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_with(args: &[&str]) -> Result<MariaDb, TestbedError> {
        on_free_port(|lease| MariaDb::start_on(lease, args))
    }

    fn start_on(lease: PortLease, args: &[&str]) -> Result<MariaDb, TestbedError> {
        let program = find(NAME, PACKAGE)?;
        let client = find("mariadb", PACKAGE)?;
        let account = Account::for_server(ACCOUNT, PACKAGE)?;
        let dir = fresh_dir("mariadb")?;
        hand_over(dir.path(), account)?;
        template(&program, account)?
            .copy_to(&dir.path().join("data"), |data| initialise(data, account))?;
        let init = dir.path().join("init.sql");
        fs::write(&init, init_sql()).on("write", &init)?;

        let socket = dir.path().join("mariadb.sock");
        let client = Arc::new(CommandLine {
            program: client,
            socket: socket.clone(),
        });
        let probe = client.clone();
        let process = ServerProcess::start(Recipe {
            name: NAME,
            program,
            args: arguments(dir.path(), &socket, lease.port(), args),
            account,
            lease,
            dir,
            socket,
            ready: Box::new(move || probe.run(USER, "SELECT 1").is_ok()),
        })?;
        Ok(MariaDb(SqlServer::new("mysql", process, client)))
    }
}

impl Deref for MariaDb {
    type Target = SqlServer;

    fn deref(&self) -> &SqlServer {
        &self.0
    }
}

/// The `mariadb` command line client, connected through the server's own socket.
struct CommandLine {
    program: PathBuf,
    socket: PathBuf,
}

impl Client for CommandLine {
    fn run(&self, database: &str, statement: &str) -> Result<String, TestbedError> {
        run(Command::new(&self.program)
            .args(["--no-defaults", "--batch", "--skip-column-names"])
            .args(["--connect-timeout=10", "--protocol=socket", "--socket"])
            .arg(&self.socket)
            .args([
                "--user",
                USER,
                "--database",
                database,
                "--execute",
                statement,
            ])
            .env("MYSQL_PWD", PASSWORD))
    }
}

fn arguments(dir: &Path, socket: &Path, port: u16, extra: &[&str]) -> Vec<OsString> {
    let mut args: Vec<OsString> = vec!["--no-defaults".into()];
    args.push(path_option("--datadir=", &dir.join("data")));
    args.push(path_option("--socket=", socket));
    args.push(path_option("--init-file=", &dir.join("init.sql")));
    args.push(format!("--port={port}").into());
    args.push("--bind-address=127.0.0.1".into());
    args.extend(FORMAT.map(OsString::from));
    args.extend(DEFAULTS.map(OsString::from));
    args.extend(extra.iter().map(OsString::from));
    args
}

/// Run by the server at every start, before it accepts connections. The socket client is `localhost` to MariaDB.
fn init_sql() -> String {
    let mut sql = format!("CREATE DATABASE IF NOT EXISTS `{USER}`;\n");
    for host in ["127.0.0.1", "localhost"] {
        sql +=
            &format!("CREATE USER IF NOT EXISTS '{USER}'@'{host}' IDENTIFIED BY '{PASSWORD}';\n");
        sql += &format!("GRANT ALL ON `{USER}%`.* TO '{USER}'@'{host}';\n");
    }
    // The code under test comes from 127.0.0.1 and may not; a test may change the server's settings behind its back.
    sql += &format!("GRANT SUPER ON *.* TO '{USER}'@'localhost';\n");
    sql
}

fn template(program: &Path, account: Option<Account>) -> Result<Template, TestbedError> {
    let mut hasher = DefaultHasher::new();
    run(Command::new(program).args(["--no-defaults", "--version"]))?.hash(&mut hasher);
    FORMAT.hash(&mut hasher);
    Template::named(&format!("mariadb-{:016x}", hasher.finish()), account)
}

fn initialise(data: &Path, account: Option<Account>) -> Result<(), TestbedError> {
    let mut command = Command::new(find("mariadb-install-db", PACKAGE)?);
    command
        .args(["--no-defaults", "--skip-test-db", "--skip-name-resolve"])
        .arg("--auth-root-authentication-method=normal")
        .args(FORMAT)
        .arg(path_option("--datadir=", data))
        .current_dir(data);
    run_as(&mut command, account);
    run(&mut command).map(drop)
}

/// `--name=PATH` in one word: the installer, a shell script, knows options in no other form.
fn path_option(name: &str, path: &Path) -> OsString {
    let mut option = OsString::from(name);
    option.push(path);
    option
}
