//! Where the demo lives: a directory and six ports.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use super::NODES;
use super::error::DemoError;

/// The first port when nobody asks for another.
const BASE_PORT: u16 = 17400;

/// Blocks of 30 ports that are tried when those are taken.
const BLOCKS: u32 = 300;

/// The addresses of a node.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// The Redis protocol.
    pub resp: SocketAddr,
    /// HTTP.
    pub http: SocketAddr,
}

/// Finds ports: from `base` on when it is given, else from 17400 on if they are free, else elsewhere.
///
/// # Errors
/// A taken port, when `base` is given; or none is free.
pub fn addresses(base: Option<u16>) -> Result<Vec<Addresses>, DemoError> {
    match (base, from(base.unwrap_or(BASE_PORT))) {
        (None, Err(_)) => elsewhere(),
        (_, found) => found,
    }
}

/// Finds ports that another demo, started in the same moment, does not choose too.
///
/// They are below those that systems give to connections: one of these could be gone before the node takes it.
///
/// # Errors
/// None is free.
pub fn elsewhere() -> Result<Vec<Addresses>, DemoError> {
    let first = std::process::id() % BLOCKS;
    let bases = (0..BLOCKS).map(|block| BASE_PORT + 30 * (1 + (first + block) % BLOCKS) as u16);
    let mut last = Err(DemoError::BasePort(BASE_PORT));
    for base in bases {
        last = from(base);
        if last.is_ok() {
            break;
        }
    }
    last
}

fn from(base: u16) -> Result<Vec<Addresses>, DemoError> {
    let port = |offset: usize| {
        let offset = u16::try_from(offset).map_err(|_| DemoError::BasePort(base))?;
        let port = base.checked_add(offset).ok_or(DemoError::BasePort(base))?;
        bound(port).map(|listener| listener.1)
    };
    (0..NODES)
        .map(|node| {
            Ok(Addresses {
                resp: port(node * 10)?,
                http: port(node * 10 + 1)?,
            })
        })
        .collect()
}

fn bound(port: u16) -> Result<(TcpListener, SocketAddr), DemoError> {
    let taken = |source| DemoError::Port { port, source };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(taken)?;
    let address = listener.local_addr().map_err(taken)?;
    Ok((listener, address))
}

/// The directory of the demo. Without `keep` it is emptied of what the demo made when this is dropped.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    keep: bool,
    /// Whether the directory itself was there before.
    was_there: bool,
}

impl Directory {
    /// Makes the directory; without a name, one in the system's place for temporary files.
    ///
    /// # Errors
    /// A directory that cannot be made, or is not empty.
    pub fn make(named: Option<&Path>, keep: bool) -> Result<Self, DemoError> {
        let temporary =
            || std::env::temp_dir().join(format!("redsqrl-demo-{}", std::process::id()));
        let path = named.map_or_else(temporary, Path::to_path_buf);
        let fault = |source| DemoError::File {
            path: path.clone(),
            source,
        };
        let was_there = path.exists();
        std::fs::create_dir_all(&path).map_err(fault)?;
        if std::fs::read_dir(&path).map_err(fault)?.next().is_some() {
            return Err(DemoError::NotEmpty(path));
        }
        let path = path.canonicalize().map_err(fault)?;
        Ok(Self {
            path,
            keep,
            was_there,
        })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves everything where it is, for somebody to look at.
    pub fn keep(&mut self) {
        self.keep = true;
    }

    /// Whether it stays.
    #[must_use]
    pub fn stays(&self) -> bool {
        self.keep
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        for name in super::NAMES {
            // It may never have been made.
            std::fs::remove_dir_all(self.path.join(name)).ok();
        }
        if !self.was_there {
            // Not if somebody put something else into it.
            std::fs::remove_dir(&self.path).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_named_and_avoided() {
        let found = elsewhere().unwrap();
        assert_eq!(found.len(), NODES);
        let ports = found.iter().flat_map(|at| [at.resp.port(), at.http.port()]);
        assert!(ports.clone().all(|port| (17430..26460).contains(&port)));
        assert_eq!(ports.collect::<std::collections::HashSet<_>>().len(), 6);
        let (_held, address) = bound(0).unwrap();
        let error = from(address.port()).unwrap_err().to_string();
        assert!(
            error.contains(&address.port().to_string()) && error.contains("--base-port"),
            "{error}"
        );
        assert!(matches!(
            from(65530),
            Err(DemoError::BasePort(_) | DemoError::Port { .. })
        ));
    }

    #[test]
    fn only_what_the_demo_made_is_removed() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("demo");
        let directory = Directory::make(Some(&path), false).unwrap();
        std::fs::create_dir(path.join("A")).unwrap();
        drop(directory);
        assert!(!path.exists());
        std::fs::create_dir(&path).unwrap();
        let directory = Directory::make(Some(&path), false).unwrap();
        std::fs::write(path.join("mine"), "x").unwrap();
        drop(directory);
        assert!(path.join("mine").exists());
        assert!(matches!(
            Directory::make(Some(&path), false),
            Err(DemoError::NotEmpty(_))
        ));
    }
}
