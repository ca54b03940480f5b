//! Three nodes, the ways between them, and a client of each.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::client::{Client, SharedOracle};
use super::error::DemoError;
use super::link::Link;
use super::oracle::Verdict;
use super::place::Addresses;
use super::process::NodeProcess;
use super::{NAMES, NODES};

/// How long the nodes may take to become equal.
const EQUAL_LIMIT: Duration = Duration::from_secs(90);

/// How often they are asked meanwhile.
const LOOK: Duration = Duration::from_millis(50);

/// Roots that stand still so long have taken in what was acknowledged before: several times longer than a node waits
/// until it stores a batch.
const STEADY: Duration = Duration::from_millis(500);

/// The mesh. Dropping it kills the nodes.
pub struct Mesh {
    nodes: Vec<NodeProcess>,
    /// Of each way: who reads, whom it reads from.
    links: Vec<(usize, usize, Link)>,
    clients: Vec<Client>,
    oracle: SharedOracle,
}

impl Mesh {
    /// Starts the nodes and waits until all of them serve.
    ///
    /// # Errors
    /// What a node, a port or a file says.
    pub async fn start(
        directory: &std::path::Path,
        addresses: &[Addresses],
    ) -> Result<Self, DemoError> {
        let mut links = Vec::new();
        for reader in 0..NODES {
            for (source, target) in addresses
                .iter()
                .enumerate()
                .filter(|(source, _)| *source != reader)
            {
                let link = Link::to(target.resp).await.map_err(DemoError::Listen)?;
                links.push((reader, source, link));
            }
        }
        let mut nodes = Vec::new();
        for (index, own) in addresses.iter().enumerate() {
            let ways = links.iter().filter(|(reader, ..)| *reader == index);
            let ways: Vec<_> = ways
                .map(|(_, source, link)| (*source, link.address()))
                .collect();
            nodes.push(NodeProcess::prepare(index, *own, directory, &ways)?);
        }
        let oracle = SharedOracle::default();
        let mut mesh = Self {
            nodes,
            links,
            clients: Vec::new(),
            oracle,
        };
        mesh.start_nodes(addresses)
            .await
            .inspect_err(|_| mesh.show_logs())?;
        Ok(mesh)
    }

    async fn start_nodes(&mut self, addresses: &[Addresses]) -> Result<(), DemoError> {
        for node in &mut self.nodes {
            node.start()?;
        }
        for (index, (node, own)) in self.nodes.iter_mut().zip(addresses).enumerate() {
            node.ready().await?;
            self.clients
                .push(Client::connect(index, *own, Arc::clone(&self.oracle)).await?);
        }
        Ok(())
    }

    /// What the clients have told.
    #[must_use]
    pub fn oracle(&self) -> &SharedOracle {
        &self.oracle
    }

    /// A client of each node, for tasks of their own.
    #[must_use]
    pub fn clients(&self) -> Vec<Client> {
        self.clients.clone()
    }

    /// The addresses and process of each node.
    pub fn nodes(&self) -> impl Iterator<Item = (&'static str, Addresses, Option<u32>)> {
        let named = NAMES.into_iter().zip(&self.nodes);
        named.map(|(name, node)| (name, node.addresses(), node.pid()))
    }

    /// A new client of this node.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn connect(&self, node: usize) -> Result<Client, DemoError> {
        let process = self.nodes.get(node).ok_or_else(|| unknown(node))?;
        Client::connect(node, process.addresses(), Arc::clone(&self.oracle)).await
    }

    /// Cuts every way for which this says so: who reads, whom it reads from.
    pub fn cut(&self, which: impl Fn(usize, usize) -> bool) {
        let doomed = self
            .links
            .iter()
            .filter(|(reader, source, _)| which(*reader, *source));
        doomed.for_each(|(.., link)| link.cut());
    }

    /// Lets everything through again.
    pub fn heal(&self) {
        self.links.iter().for_each(|(.., link)| link.heal());
    }

    /// SIGKILL.
    ///
    /// # Errors
    /// The system does not let us.
    pub fn kill(&mut self, node: usize) -> Result<(), DemoError> {
        self.nodes
            .get_mut(node)
            .ok_or_else(|| unknown(node))?
            .kill()
    }

    /// Starts a node again, waits until it serves, and connects to it.
    ///
    /// # Errors
    /// What the node says.
    pub async fn restart(&mut self, node: usize) -> Result<(), DemoError> {
        let process = self.nodes.get_mut(node).ok_or_else(|| unknown(node))?;
        process.start()?;
        process.ready().await?;
        let client = self.connect(node).await?;
        if let Some(old) = self.clients.get_mut(node) {
            *old = client;
        }
        Ok(())
    }

    /// The root of each node.
    ///
    /// # Errors
    /// A node does not answer.
    pub async fn roots(&mut self) -> Result<Vec<String>, DemoError> {
        for node in &mut self.nodes {
            node.alive()?;
        }
        let mut roots = Vec::new();
        for client in &self.clients {
            roots.push(client.root().await?);
        }
        Ok(roots)
    }

    /// Waits until the roots are as wanted; gives them.
    ///
    /// # Errors
    /// `Late`, with the roots that were seen last.
    pub async fn roots_when(
        &mut self,
        what: &str,
        wanted: impl Fn(&[String]) -> bool,
    ) -> Result<Vec<String>, DemoError> {
        let began = Instant::now();
        loop {
            let roots = self.roots().await?;
            if wanted(&roots) {
                return Ok(roots);
            }
            if began.elapsed() > EQUAL_LIMIT {
                let seen = roots
                    .iter()
                    .map(|root| short(root))
                    .collect::<Vec<_>>()
                    .join(" ");
                return Err(DemoError::Late {
                    what: what.to_string(),
                    limit: EQUAL_LIMIT,
                    seen,
                });
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until the roots are as wanted and have stood still for a while; gives them.
    ///
    /// # Errors
    /// `Late`, with the roots that were seen last.
    pub async fn roots_steady_when(
        &mut self,
        what: &str,
        wanted: impl Fn(&[String]) -> bool,
    ) -> Result<Vec<String>, DemoError> {
        let began = Instant::now();
        while began.elapsed() < EQUAL_LIMIT {
            let roots = self.roots_when(what, &wanted).await?;
            if self.are_steady(&roots).await? {
                return Ok(roots);
            }
        }
        Err(DemoError::Late {
            what: what.to_string(),
            limit: EQUAL_LIMIT,
            seen: "the roots do not stand still".into(),
        })
    }

    /// Whether the roots are still these after a while.
    ///
    /// # Errors
    /// A node does not answer.
    pub async fn are_steady(&mut self, roots: &[String]) -> Result<bool, DemoError> {
        tokio::time::sleep(STEADY).await;
        Ok(self.roots().await? == roots)
    }

    /// Reads everything from every node and has the oracle judge it. Says how many items are readable but not listed.
    ///
    /// # Errors
    /// A node does not answer.
    pub async fn audit(&mut self) -> Result<Audit, DemoError> {
        let touched = self.oracle.lock().touched();
        let mut found = Vec::new();
        let mut unlisted = 0;
        for client in &mut self.clients {
            let holdings = client.holdings(&touched).await?;
            unlisted += holdings.unlisted;
            found.push(holdings.items);
        }
        let verdict = self.oracle.lock().judge(&found);
        let counts = found.iter().map(|items| items.len()).collect();
        Ok(Audit {
            verdict,
            counts,
            unlisted,
        })
    }

    /// Stops all nodes; whether each did so by itself and without a complaint.
    pub async fn stop(&mut self) -> bool {
        self.clients.clear();
        let mut all = true;
        for node in &mut self.nodes {
            all &= node.stop().await;
        }
        all
    }

    /// Shows the end of each node's log, for whoever looks for the cause.
    pub fn show_logs(&self) {
        let screen = super::screen::Screen::default();
        for (name, node) in NAMES.iter().zip(&self.nodes) {
            screen.chapter(&format!("the end of the log of node {name}"));
            screen.line(&node.log_tail());
        }
    }
}

fn unknown(node: usize) -> DemoError {
    DemoError::Node {
        node,
        op: "find",
        why: "there is no such node".into(),
    }
}

/// What a full reading of all nodes has shown.
#[derive(Debug)]
pub struct Audit {
    /// What the oracle says.
    pub verdict: Verdict,
    /// Items of each node.
    pub counts: Vec<usize>,
    /// Items that are readable, but not listed.
    pub unlisted: usize,
}

impl Audit {
    /// Whether everything is as it must be.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.verdict.faults.is_empty() && self.unlisted == 0
    }
}

/// The beginning of a root, for people.
#[must_use]
pub fn short(root: &str) -> String {
    root.chars().take(12).collect()
}

/// Whether all of them are the same.
#[must_use]
pub fn all_equal(roots: &[String]) -> bool {
    roots.windows(2).all(|pair| pair.first() == pair.last())
}
