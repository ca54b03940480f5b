use std::{
    collections::hash_map::RandomState,
    fs::{File, TryLockError},
    hash::{BuildHasher, Hasher},
    net::{Ipv4Addr, TcpListener},
    ops::Range,
    sync::{Mutex, PoisonError},
};

use crate::{
    error::{During, TestbedError},
    shared_dir::{create_dir, lock_file, shared_dir},
};

/// Below the ports Linux hands to outgoing connections, so that none of those sits on a server's port while the
/// server is down.
const PORTS: Range<u16> = 12_000..32_000;

const TRIES: u32 = 500;

/// The leases behind [`free_port`], kept as long as the process lives.
static LEASES: Mutex<Vec<PortLease>> = Mutex::new(Vec::new());

/// A free loopback port. No other test of this user, in this process or another, gets the same one while this process
/// lives, whether or not somebody listens on it.
///
/// # Errors
/// [`TestbedError::NoFreePort`] when hundreds of tries found none.
pub fn free_port() -> Result<u16, TestbedError> {
    let lease = PortLease::take()?;
    let port = lease.port();
    LEASES
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(lease);
    Ok(port)
}

/// A port that is ours until this is dropped: other testbeds do not take it, even while the server is down.
#[derive(Debug)]
pub(crate) struct PortLease {
    port: u16,
    _lock: File,
}

impl PortLease {
    /// Takes a port that nobody leases and nobody listens on.
    pub(crate) fn take() -> Result<PortLease, TestbedError> {
        let dir = shared_dir()?.join("ports");
        create_dir(&dir)?;
        for _ in 0..TRIES {
            let port = any_port();
            let path = dir.join(port.to_string());
            let lock = lock_file(&path)?;
            match lock.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => continue,
                Err(TryLockError::Error(source)) => return Err(source).on("lock", &path),
            }
            if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return Ok(PortLease { port, _lock: lock });
            }
        }
        Err(TestbedError::NoFreePort { tries: TRIES })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

fn any_port() -> u16 {
    // The standard library's hash keys are its only source of chance.
    let chance = RandomState::new().build_hasher().finish();
    let offset = chance % u64::from(PORTS.end - PORTS.start);
    PORTS.start + offset as u16
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn leased_ports_are_distinct_and_free() {
        let leases: Vec<_> = (0..50).map(|_| PortLease::take().unwrap()).collect();
        let ports: HashSet<_> = leases.iter().map(PortLease::port).collect();
        assert_eq!(ports.len(), leases.len());
        for port in ports {
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        }
    }

    #[test]
    fn a_free_port_stays_ours() {
        let port = free_port().unwrap();
        let path = shared_dir().unwrap().join("ports").join(port.to_string());
        assert!(matches!(
            lock_file(&path).unwrap().try_lock(),
            Err(TryLockError::WouldBlock)
        ));
    }
}
