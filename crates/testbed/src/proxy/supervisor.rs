use std::{future::pending, io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    task::JoinSet,
    time::sleep,
};

use super::{Fault, Order, Traffic, connection::carry};

/// After a failed accept (out of file descriptors, say) the next one would fail at once too.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// The proxy's one task that knows all others.
pub(super) struct Supervisor {
    addr: SocketAddr,
    upstream: SocketAddr,
    /// Absent while cut: the system itself then refuses connections.
    listener: Option<TcpListener>,
    fault: watch::Sender<Fault>,
    connections: JoinSet<()>,
    traffic: Arc<Traffic>,
}

impl Supervisor {
    pub(super) fn new(
        addr: SocketAddr,
        upstream: SocketAddr,
        listener: TcpListener,
        traffic: Arc<Traffic>,
    ) -> Supervisor {
        Supervisor {
            addr,
            upstream,
            listener: Some(listener),
            fault: watch::Sender::new(Fault::Pass),
            connections: JoinSet::new(),
            traffic,
        }
    }

    /// Runs until the orders end; all connections end with it.
    pub(super) async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        loop {
            tokio::select! {
                order = orders.recv() => {
                    let Some(Order { fault, done }) = order else { return };
                    let result = self.set(fault).await;
                    done.send(result).ok(); // whoever asked may have gone
                }
                accepted = accept(self.listener.as_ref()) => match accepted {
                    Ok(client) => self.connect(client),
                    Err(_) => sleep(ACCEPT_PAUSE).await,
                },
                Some(_) = self.connections.join_next() => {}
            }
        }
    }

    async fn set(&mut self, fault: Fault) -> io::Result<()> {
        if fault == Fault::Cut {
            self.listener = None;
            self.connections.shutdown().await;
        } else if self.listener.is_none() {
            self.listener = Some(TcpListener::bind(self.addr).await?);
        }
        self.fault.send_replace(fault);
        Ok(())
    }

    fn connect(&mut self, client: TcpStream) {
        let fault = self.fault.subscribe();
        let traffic = self.traffic.clone();
        let upstream = self.upstream;
        self.connections.spawn(async move {
            // However a connection ends, both its sides are closed; that is all the two peers get to know.
            carry(client, upstream, fault, traffic).await.ok();
        });
    }
}

async fn accept(listener: Option<&TcpListener>) -> io::Result<TcpStream> {
    match listener {
        Some(listener) => Ok(listener.accept().await?.0),
        None => pending().await,
    }
}
