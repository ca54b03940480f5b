//! `redsqrl serve`: run a node.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use sync_engine::engine::ShutdownReport;

use super::{Failure, say};
use crate::config::{self, ConfigFault, NodeConfig, Variables, parse_listen};
use crate::node::Node;
use crate::shutdown::{Signals, Wish};
use crate::telemetry;

/// The second signal: stopped at once, as if killed.
const STOPPED_AT_ONCE: u8 = 130;

/// Run a node until it is told to stop.
#[derive(Clone, Debug, Default, Args)]
pub struct Serve {
    /// Settings in YAML. Variables such as REDSQRL__HTTP__LISTEN win over it, and options over both.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Data directory; made if it is missing. [default: redsqrl-data]
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// Where to serve HTTP. [default: 127.0.0.1:7380]
    #[arg(long, value_name = "ADDR", value_parser = parse_listen)]
    pub http: Option<SocketAddr>,
    /// Where to speak the Redis protocol. [default: 127.0.0.1:7379]
    #[arg(long, value_name = "ADDR", value_parser = parse_listen)]
    pub resp: Option<SocketAddr>,
    /// The node's name in the mesh. [default: a random one, kept in the data directory]
    #[arg(long, value_name = "NAME")]
    pub node_id: Option<String>,
    /// Stop when standard input ends: for a parent whose nodes must not outlive it, however it ends.
    #[arg(long, hide = true)]
    pub stop_with_stdin: bool,
}

impl Serve {
    /// The settings: of the file, then of the variables, then of these options.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn settings(&self, variables: &Variables) -> Result<NodeConfig, ConfigFault> {
        let mut config = config::load(self.config.as_deref(), variables)?;
        if let Some(dir) = &self.dir {
            config.dir.clone_from(dir);
        }
        if let Some(listen) = self.http {
            config.http.listen = listen;
        }
        if let Some(listen) = self.resp {
            config.resp.listen = listen;
        }
        if let Some(node_id) = &self.node_id {
            config.node_id = Some(node_id.clone());
        }
        config.validate()?;
        Ok(config)
    }

    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let config = self.settings(&Variables::of_process()?)?;
        telemetry::begin_logging(&config.log)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?;
        let code = runtime.block_on(self.serve(config));
        // Whatever still runs has been told to stop; nothing of it is waited for.
        runtime.shutdown_background();
        code
    }

    async fn serve(self, config: NodeConfig) -> Result<ExitCode, Failure> {
        let mut signals = Signals::listen()?;
        let node = tokio::select! {
            node = Node::start(config) => node?,
            () = signals.stop() => return Ok(ExitCode::from(STOPPED_AT_ONCE)),
        };
        say(&format!(
            "redsqrl node {} ready: http://{} redis://{}",
            node.id(),
            node.http_address(),
            node.resp_address()
        ));
        let mut orphaned = std::pin::pin!(orphaned(self.stop_with_stdin));
        loop {
            let wish = tokio::select! {
                wish = signals.next() => wish,
                () = &mut orphaned => Wish::Stop,
            };
            match wish {
                Wish::Stop => break,
                Wish::Reload => self.reload(&node),
            }
        }
        tracing::info!("stopping; a second signal stops at once");
        tokio::select! {
            report = node.shutdown() => Ok(judged(&report)),
            () = signals.stop() => Ok(ExitCode::from(STOPPED_AT_ONCE)),
        }
    }

    fn reload(&self, node: &Node) {
        let read = Variables::of_process().and_then(|variables| self.settings(&variables));
        let taken = read
            .map_err(Failure::from)
            .and_then(|config| Ok(node.reload(config)?));
        match taken {
            Ok(()) => tracing::info!("the settings were read again"),
            Err(error) => tracing::error!("the old settings stay in force: {error}"),
        }
    }
}

/// Completes when standard input ends; never, if that means nothing here.
async fn orphaned(stop_with_stdin: bool) {
    if !stop_with_stdin {
        return std::future::pending().await;
    }
    let (ended, end) = tokio::sync::oneshot::channel();
    // A thread of its own: a read of standard input cannot be given up, and must not hold the runtime.
    std::thread::spawn(move || {
        // An error is an end too.
        std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink()).ok();
        // The receiver is gone when the node is already stopping.
        ended.send(()).ok();
    });
    // The sender is not dropped before it has sent.
    end.await.ok();
}

fn judged(report: &ShutdownReport) -> ExitCode {
    if report.logged > 0 {
        tracing::info!(
            writes = report.logged,
            "the write-ahead log keeps writes for the next start"
        );
    }
    if report.unstored == 0 {
        return ExitCode::SUCCESS;
    }
    tracing::error!(
        writes = report.unstored,
        "acknowledged writes could not be stored and are lost"
    );
    ExitCode::FAILURE
}
