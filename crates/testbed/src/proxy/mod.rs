use std::{
    io,
    net::{self, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc as blocking,
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::{
    net::TcpListener,
    runtime::{self, Runtime},
    sync::mpsc,
};

use crate::{
    error::{During, TestbedError},
    port::PortLease,
};

/// Accepts connections, and obeys orders.
mod supervisor;

/// Carries one connection's bytes, both ways.
mod connection;

/// What the network does to the bytes that pass a [`FaultyProxy`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: bytes pass as they come.
    Pass,
    /// New connections are refused, open ones are dropped.
    Cut,
    /// Connections are accepted and kept, but no byte passes. Nothing is lost: held bytes pass once the fault is lifted.
    Stall,
    /// Every byte arrives this much later, in each direction: a round trip takes twice as long. Throughput stays.
    Delay(Duration),
    /// Bytes towards the server vanish. A connection that lost some is dropped once its bytes would pass again.
    DropToServer,
    /// Bytes towards the client vanish: the server did it, and nobody hears. A connection that lost some is dropped
    /// once its bytes would pass again.
    DropToClient,
}

/// A TCP proxy in front of one server, whose faults a test sets at run time. It runs on a thread of its own, so tests
/// with any kind of runtime, or none, can use it.
pub struct FaultyProxy {
    addr: SocketAddr,
    orders: Option<mpsc::UnboundedSender<Order>>,
    traffic: Arc<Traffic>,
    thread: Option<JoinHandle<()>>,
    _lease: PortLease,
}

/// A fault to set, and where to say that it is in force.
struct Order {
    fault: Fault,
    done: blocking::Sender<io::Result<()>>,
}

/// Bytes handed over, by direction.
#[derive(Default)]
struct Traffic {
    to_server: AtomicU64,
    to_client: AtomicU64,
}

impl FaultyProxy {
    /// Starts a proxy to `upstream` that passes everything.
    ///
    /// # Errors
    /// When no port or thread is to be had.
    pub fn start(upstream: SocketAddr) -> Result<FaultyProxy, TestbedError> {
        let lease = PortLease::take()?;
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, lease.port()));
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .during("start a runtime for a proxy")?;
        let listener = listen(&runtime, addr).during(format!("listen on {addr}"))?;
        let (orders, inbox) = mpsc::unbounded_channel();
        let traffic = Arc::new(Traffic::default());
        let supervisor = supervisor::Supervisor::new(addr, upstream, listener, traffic.clone());
        let thread = run_on_thread(runtime, supervisor, inbox)?;
        Ok(FaultyProxy {
            addr,
            orders: Some(orders),
            traffic,
            thread: Some(thread),
            _lease: lease,
        })
    }

    /// Where clients connect, also while nothing listens there ([`Fault::Cut`]).
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// A server's URL with this proxy in the server's place.
    #[must_use]
    pub fn url(&self, server_url: &str) -> String {
        replace_address(server_url, self.addr)
    }

    /// Sets the fault. It is in force, for open connections too, when this returns.
    ///
    /// # Errors
    /// When the proxy cannot listen again after a [`Fault::Cut`].
    pub fn set(&self, fault: Fault) -> Result<(), TestbedError> {
        let (done, answer) = blocking::channel();
        self.orders
            .as_ref()
            .and_then(|orders| orders.send(Order { fault, done }).ok())
            .ok_or_else(ended)
            .and_then(|()| answer.recv().map_err(|_| ended())?)
            .during(format!("set {fault:?} on the proxy at {}", self.addr))
    }

    /// Bytes handed to the server so far; not those dropped, held or delayed.
    #[must_use]
    pub fn bytes_to_server(&self) -> u64 {
        self.traffic.to_server.load(Ordering::Relaxed)
    }

    /// Bytes handed to clients so far; not those dropped, held or delayed.
    #[must_use]
    pub fn bytes_to_client(&self) -> u64 {
        self.traffic.to_client.load(Ordering::Relaxed)
    }
}

impl Drop for FaultyProxy {
    fn drop(&mut self) {
        self.orders = None; // the supervisor ends with its orders
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            eprintln!("testbed: the proxy at {} had panicked", self.addr);
        }
    }
}

fn listen(runtime: &Runtime, addr: SocketAddr) -> io::Result<TcpListener> {
    // Not by `block_on`: whoever starts the proxy may be inside a runtime of their own.
    let listener = net::TcpListener::bind(addr)?;
    listener.set_nonblocking(true)?;
    let _inside = runtime.enter();
    TcpListener::from_std(listener)
}

fn run_on_thread(
    runtime: Runtime,
    supervisor: supervisor::Supervisor,
    inbox: mpsc::UnboundedReceiver<Order>,
) -> Result<JoinHandle<()>, TestbedError> {
    thread::Builder::new()
        .name("faulty-proxy".into())
        .spawn(move || runtime.block_on(supervisor.run(inbox)))
        .during("start a thread for a proxy")
}

fn ended() -> io::Error {
    io::Error::other("the proxy has ended")
}

/// `scheme://user:password@HOST:PORT/rest` with another address in the middle.
fn replace_address(url: &str, addr: SocketAddr) -> String {
    let after_scheme = url.find("://").map_or(0, |at| at + 3);
    let (scheme, rest) = url.split_at(after_scheme);
    let path_at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(path_at);
    let user_ends = authority.rfind('@').map_or(0, |at| at + 1);
    let (user, _) = authority.split_at(user_ends);
    format!("{scheme}{user}{addr}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_address_of_a_url_changes() {
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 7));
        let cases = [
            ("redis://127.0.0.1:6379", "redis://127.0.0.1:7"),
            ("redis://h/2", "redis://127.0.0.1:7/2"),
            (
                "mysql://u:p@h:3306/db?a=b",
                "mysql://u:p@127.0.0.1:7/db?a=b",
            ),
        ];
        for (url, expected) in cases {
            assert_eq!(replace_address(url, addr), expected);
        }
    }
}
