//! The network between two nodes: a small TCP proxy that can be cut.
//!
//! A cut is a real one: connections break, and new ones end before a byte is exchanged.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The way from one node to another. Dropping it cuts it for good.
#[derive(Debug)]
pub struct Link {
    address: SocketAddr,
    open: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

impl Link {
    /// An open way to `target`, on a free port of the loopback interface.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn to(target: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (open, watched) = watch::channel(true);
        let accepting = tokio::spawn(accept(listener, target, watched));
        Ok(Self {
            address,
            open,
            accepting,
        })
    }

    /// Where it begins.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Breaks all connections, and refuses new ones until [`Link::heal`].
    pub fn cut(&self) {
        self.open.send_replace(false);
    }

    /// Lets connections through again.
    pub fn heal(&self) {
        self.open.send_replace(true);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.cut();
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, open: watch::Receiver<bool>) {
    loop {
        match listener.accept().await {
            Ok((near, _)) if *open.borrow() => {
                tokio::spawn(carry(near, target, open.clone()));
            }
            Ok(_) => {}
            // Out of file handles, most likely: some will be free soon.
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
        }
    }
}

/// Carries bytes both ways until one side ends or the way is cut. Errors end the connection, which the nodes see.
async fn carry(mut near: TcpStream, target: SocketAddr, mut open: watch::Receiver<bool>) {
    let both = async {
        let mut far = TcpStream::connect(target).await?;
        near.set_nodelay(true)?;
        far.set_nodelay(true)?;
        copy_bidirectional(&mut near, &mut far).await
    };
    tokio::select! {
        ended = both => drop(ended),
        cut = open.wait_for(|open| !*open) => drop(cut),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    tokio::io::copy(&mut from, &mut to).await.ok();
                });
            }
        });
        address
    }

    async fn answers(stream: &mut TcpStream) -> bool {
        let mut answer = [0; 2];
        stream.write_all(b"hi").await.is_ok()
            && stream.read_exact(&mut answer).await.is_ok()
            && &answer == b"hi"
    }

    #[tokio::test]
    async fn a_cut_breaks_old_connections_and_refuses_new_ones() {
        let link = Link::to(echo().await).await.unwrap();
        let mut old = TcpStream::connect(link.address()).await.unwrap();
        assert!(answers(&mut old).await);
        link.cut();
        assert!(!answers(&mut old).await);
        let mut refused = TcpStream::connect(link.address()).await.unwrap();
        assert!(!answers(&mut refused).await);
        link.heal();
        let mut new = TcpStream::connect(link.address()).await.unwrap();
        assert!(answers(&mut new).await);
        assert!(!answers(&mut old).await);
    }
}
