//! `redsqrl demo`: three real nodes on this machine, what they promise, and the proof.
//!
//! It is the program's own client: it starts the nodes as processes, talks to them through their ports alone, cuts the
//! network between them, kills one, and has everything judged by an oracle that knows only what the clients know.

mod client;

mod data;

mod error;

mod http;

mod link;

mod mesh;

mod oracle;

mod place;

mod process;

mod report;

mod screen;

mod settings;

mod story;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use self::error::DemoError;
use self::mesh::Mesh;
use self::place::Directory;
use self::report::Report;
use self::screen::Screen;
use crate::cli::Failure;
use crate::shutdown::Signals;

/// How many nodes there are.
const NODES: usize = 3;

/// What people call them.
const NAMES: [&str; NODES] = ["A", "B", "C"];

/// The name of a node in the mesh.
fn node_id(node: usize) -> String {
    format!(
        "demo.node.{}",
        NAMES.get(node).copied().unwrap_or("?").to_lowercase()
    )
}

/// Start three nodes on this machine, cut and kill them, and prove that nothing is lost.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Demo {
    /// Where the nodes keep their data; must be empty or missing. [default: a temporary directory]
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// Leave the data there when the demo ends.
    #[arg(long)]
    pub keep: bool,
    /// First port: node A takes it and the next, B those 10 higher, C those 20 higher. [default: 17400, or free ones]
    #[arg(long, value_name = "PORT")]
    pub base_port: Option<u16>,
    /// Items to load instead of the cities: lines of {"id": …, "content": …}, compressed by zstd or not.
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,
    /// Do not stay: print one line of JSON, and end with 0 only if every check held.
    #[arg(long)]
    pub once: bool,
}

impl Demo {
    /// Runs the demo to its end, or until it is interrupted; gives the exit code of the process.
    ///
    /// # Errors
    /// The system gives no threads. Whatever else goes wrong is in the result.
    pub fn run(self) -> Result<ExitCode, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?;
        Ok(runtime.block_on(self.play()))
    }

    async fn play(self) -> ExitCode {
        let screen = Screen::default();
        let mut report = Report::default();
        if let Err(error) = stage(&self, &screen, &mut report).await {
            screen.line(&format!("error: {error}"));
            report.error = Some(error.to_string());
        }
        report.close();
        if self.once {
            let line = serde_json::to_string(&report).unwrap_or_default();
            // A reader that is gone reads nothing.
            writeln!(std::io::stdout(), "{line}").ok();
        }
        match report.ok {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        }
    }
}

/// Everything that needs the directory and the nodes: from the first port to the last process.
async fn stage(demo: &Demo, screen: &Screen, report: &mut Report) -> Result<(), DemoError> {
    let mut signals = Signals::listen().map_err(DemoError::Signals)?;
    let items = data::read(demo.data.as_deref())?;
    let mut directory = Directory::make(demo.dir.as_deref(), demo.keep)?;
    screen.chapter("redsqrl demo: three nodes on this machine");
    screen.remark(&format!("data in {}", directory.path().display()));
    if demo.data.is_none() {
        screen.remark(data::ATTRIBUTION);
    }
    let began = std::time::Instant::now();
    let waiting = screen.wait("starting the nodes");
    let started = tokio::select! {
        mesh = start(demo.base_port, directory.path(), screen) => mesh,
        () = signals.stop() => Err(DemoError::Interrupted),
    };
    drop(waiting);
    let mut mesh =
        started.inspect_err(|error| keep_for_inspection(error, &mut directory, screen))?;
    let told = tokio::select! {
        told = story::tell(&mut mesh, &items, screen, report) => told,
        () = signals.stop() => Err(DemoError::Interrupted),
    };
    report.seconds = report::round(began.elapsed().as_secs_f64(), 2);
    told.inspect_err(|error| {
        if !matches!(error, DemoError::Interrupted) {
            mesh.show_logs();
        }
        keep_for_inspection(error, &mut directory, screen);
    })?;
    if !demo.once {
        invite(&mesh, screen);
        signals.stop().await;
    }
    end(&mut mesh, &mut directory, screen, report).await;
    Ok(())
}

/// Starts the mesh. Between finding a port and taking it somebody else may take it: then others are tried, if the user
/// named none.
async fn start(base_port: Option<u16>, home: &Path, screen: &Screen) -> Result<Mesh, DemoError> {
    let addresses = place::addresses(base_port)?;
    match Mesh::start(home, &addresses).await {
        Err(error @ DemoError::Died { .. }) if base_port.is_none() => {
            screen.remark(&format!("{error}; trying once more with other ports"));
            Mesh::start(home, &place::elsewhere()?).await
        }
        started => started,
    }
}

/// Stops the nodes. Their data stays if it is wanted, or if something is to be found out from it.
async fn end(mesh: &mut Mesh, directory: &mut Directory, screen: &Screen, report: &mut Report) {
    let waiting = screen.wait("stopping the nodes");
    let stopped = mesh.stop().await;
    drop(waiting);
    report.check(screen, stopped, "the nodes stop cleanly when asked", "");
    if !report.checks.iter().all(|check| check.ok) {
        screen.line("  some checks failed");
        directory.keep();
    }
    if directory.stays() {
        screen.remark(&format!(
            "the data and the logs stay in {}",
            directory.path().display()
        ));
    }
}

fn keep_for_inspection(error: &DemoError, directory: &mut Directory, screen: &Screen) {
    use DemoError::{BasePort, Interrupted, Port};
    if !matches!(error, Interrupted | Port { .. } | BasePort(_)) {
        directory.keep();
        let path = directory.path().display();
        screen.line(&format!("the data and the logs stay in {path}"));
    }
}

/// What can be done with the nodes while they run.
fn invite(mesh: &Mesh, screen: &Screen) {
    screen.chapter("The nodes stay up until Ctrl-C");
    let rows: Vec<Vec<String>> = mesh
        .nodes()
        .map(|(name, at, pid)| {
            let pid = pid.map_or(String::new(), |pid| pid.to_string());
            vec![
                name.to_string(),
                format!("redis://{}", at.resp),
                format!("http://{}", at.http),
                pid,
            ]
        })
        .collect();
    screen.table(&["node", "Redis protocol", "HTTP", "process"], &rows);
    let mut at = mesh.nodes().map(|(_, at, _)| at);
    let (Some(first), Some(second)) = (at.next(), at.next()) else {
        return;
    };
    screen.line("");
    screen.line("  Try:");
    let (resp, http) = (second.resp.port(), first.http);
    screen.line(&format!(
        "    curl -i -X PUT http://{http}/v1/items/hello.world -d '{{\"from\": \"A\"}}'"
    ));
    screen.line(&format!(
        "    curl -i http://{}/v1/items/hello.world",
        second.http
    ));
    screen.line(&format!("    redis-cli -p {resp} get hello.world"));
    screen.line(&format!(
        "    curl 'http://{http}/v1/items?prefix=geo.fr.&limit=3&content=true'"
    ));
    screen.line(&format!(
        "    curl http://{http}/v1/merkle; curl http://{}/v1/merkle",
        second.http
    ));
    screen.line(&format!("    curl http://{http}/v1/peers"));
}
