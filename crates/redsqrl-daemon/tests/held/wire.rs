//! A client that keeps nothing of what it reads: replies are checked as they come.

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use redsqrl_daemon::resp::encode::put_request;
use sync_engine::{ContentHash, ContentType, SyncItem};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::node::{Node, PATIENCE};

const BLOCK: usize = 64 * 1024;

/// What item `n` holds: noise that does not compress, and that no other item holds.
pub fn content(n: usize, bytes: usize) -> &'static [u8] {
    static NOISE: OnceLock<Vec<u8>> = OnceLock::new();
    let noise = NOISE.get_or_init(|| {
        let mut noise = vec![0; 9 << 20];
        fastrand::Rng::with_seed(7).fill(&mut noise);
        noise
    });
    &noise[n * 64..][..bytes]
}

pub fn key(n: usize) -> String {
    format!("big.{n:03}")
}

/// The number in a key that [`key`] made.
pub fn number(key: &str) -> usize {
    key.strip_prefix("big.").unwrap().parse().unwrap()
}

/// Item `n`, of so many bytes: a copy of its own, hashed once, as that takes seconds on a busy machine.
pub fn item(n: usize, bytes: usize) -> SyncItem {
    static HASHES: Mutex<BTreeMap<(usize, usize), ContentHash>> = Mutex::new(BTreeMap::new());
    let content = content(n, bytes);
    let mut hashes = HASHES.lock().unwrap();
    let hash = hashes
        .entry((n, bytes))
        .or_insert_with(|| ContentHash::of(content));
    let kind = ContentType::detect(content);
    SyncItem::from_parts(key(n).into(), content.to_vec().into(), *hash, kind)
}

pub struct Wire(BufReader<TcpStream>);

impl Wire {
    pub async fn to(node: &Node) -> Self {
        Wire::over(node.socket().await)
    }

    pub fn over(socket: TcpStream) -> Self {
        Wire(BufReader::new(socket))
    }

    pub async fn ask<A: AsRef<[u8]>>(&mut self, args: &[A]) {
        let mut request = bytes::BytesMut::new();
        put_request(&mut request, args);
        self.send(&request).await;
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// Sends a few bytes every moment, or nothing, until the node has enough of it.
    pub async fn trickle(&mut self, bytes: &[u8]) {
        while self.0.write_all(bytes).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The next line, without its end; empty: the node has closed.
    pub async fn line(&mut self) -> String {
        let mut line = String::new();
        let read = timeout(PATIENCE, self.0.read_line(&mut line)).await;
        read.expect("a line in time").ok();
        line.trim_end().to_owned()
    }

    /// The number behind a type byte.
    pub async fn head(&mut self, kind: char) -> usize {
        let line = self.line().await;
        let number = line
            .strip_prefix(kind)
            .and_then(|number| number.parse().ok());
        number.unwrap_or_else(|| panic!("{kind} and a number expected, not {line:?}"))
    }

    /// A short bulk string.
    pub async fn text(&mut self) -> String {
        let mut text = vec![0; self.head('$').await + 2];
        self.0.read_exact(&mut text).await.unwrap();
        text.truncate(text.len() - 2);
        String::from_utf8(text).unwrap()
    }

    /// Checks that the content of item `n` comes, `bytes` long.
    pub async fn content(&mut self, n: usize, bytes: usize) {
        assert_eq!(self.head('$').await, bytes);
        let mut read = vec![0; BLOCK];
        for due in content(n, bytes).chunks(BLOCK) {
            let taken = self.0.read_exact(&mut read[..due.len()]);
            let taken = timeout(PATIENCE, taken).await;
            taken.expect("a block in time").unwrap();
            assert!(read[..due.len()] == *due, "content of {n}");
        }
        assert_eq!(self.line().await, "");
    }

    /// One entry of the change stream, of an item that [`item`] made: its id.
    pub async fn entry(&mut self, bytes: usize) -> String {
        assert_eq!(self.head('*').await, 2);
        let id = self.text().await;
        assert_eq!(self.head('*').await, 10);
        for due in ["op", "PUT", "key"] {
            assert_eq!(self.text().await, due);
        }
        let n = number(&self.text().await);
        assert_eq!(self.text().await, "hash");
        self.text().await;
        assert_eq!(self.text().await, "data");
        self.content(n, bytes).await;
        assert_eq!(self.text().await, "meta");
        self.text().await;
        id
    }

    /// Takes some 10 times so many KiB a second, until the node has enough of it.
    pub async fn sip(&mut self, kib: usize) {
        let mut sip = vec![0; kib << 10];
        while self.0.get_mut().read_exact(&mut sip).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Everything until the node closes.
    pub async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let read = self.0.read_to_end(&mut rest);
        timeout(PATIENCE, read).await.expect("an end in time").ok();
        rest
    }
}
