//! I8: what all clients together make the node hold is bounded, and what they are told is right.
//!
//! Some of these tests look at what their process has in memory: all of them run one after the other.
#![allow(clippy::disallowed_methods, reason = "tests live in real time")]

#[path = "../common/answer.rs"]
mod answer;
#[path = "../resp/node.rs"]
mod node;

mod http;
mod readers;
mod refusals;
mod requests;
mod streams;
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use redsqrl_daemon::budget::Budget;
use redsqrl_daemon::limits::BudgetLimits;
use redsqrl_daemon::resp::{RespSettings, ServerLimits};
use sync_engine::SyncEngineConfig;

use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::node::{Node, PATIENCE};
use crate::wire::{Wire, item, key};

const MIB: usize = 1 << 20;

/// What each item has.
const ITEM: usize = 8 * MIB;

const ITEMS: usize = 8;

const LIMITS: BudgetLimits = BudgetLimits {
    lookups: 4 * ITEM,
    replies: 4 * ITEM,
    requests: 4 * ITEM,
    patience: PATIENCE,
};

/// Room for the reply of one item, and next to no wait for more.
const SCARCE: BudgetLimits = BudgetLimits {
    replies: ITEM + MIB,
    patience: Duration::from_millis(200),
    ..LIMITS
};

/// Held by the one test that runs.
static TURN: Mutex<()> = Mutex::const_new(());

/// A node whose memory holds next to nothing of its items.
async fn node(limits: BudgetLimits, server: ServerLimits) -> Node {
    let config = SyncEngineConfig {
        l1_max_bytes: 3 * ITEM,
        batch_flush_ms: 5,
        max_payload_bytes: ITEM,
        ..Default::default()
    };
    let settings = RespSettings {
        limits: server,
        ..Default::default()
    };
    Node::start_within(Budget::new(limits), settings, config).await
}

async fn filled(limits: BudgetLimits) -> Node {
    filled_within(limits, ServerLimits::default()).await
}

async fn filled_within(limits: BudgetLimits, server: ServerLimits) -> Node {
    let node = node(limits, server).await;
    write_all(&node).await;
    node
}

/// Writes every item.
async fn write_all(node: &Node) {
    for n in 0..ITEMS {
        node.engine.submit(item(n, ITEM)).await.unwrap();
    }
    published(node).await;
}

/// Waits until all that was written is stored, and told on the stream.
async fn published(node: &Node) {
    node.engine.force_flush().await.unwrap();
    let published = async {
        while node.engine.health_check().await.publish_backlog > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, published).await.expect("published");
}

/// Looks again and again at what this process has in memory.
struct Watch {
    before: usize,
    most: Arc<AtomicUsize>,
    done: Arc<AtomicBool>,
    looker: std::thread::JoinHandle<()>,
}

impl Watch {
    fn begin() -> Self {
        let (most, done) = (
            Arc::new(AtomicUsize::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let looker = std::thread::spawn({
            let (most, done) = (most.clone(), done.clone());
            move || {
                while !done.load(Ordering::Relaxed) {
                    most.fetch_max(resident_bytes(), Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
        });
        Watch {
            before: resident_bytes(),
            most,
            done,
            looker,
        }
    }

    /// By how much it grew, at the most.
    fn grown(self) -> usize {
        self.done.store(true, Ordering::Relaxed);
        self.looker.join().unwrap();
        self.most
            .load(Ordering::Relaxed)
            .saturating_sub(self.before)
    }
}

/// What this process has in memory.
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.unwrap().trim().split(' ').next().unwrap();
    kib.parse::<usize>().unwrap() * 1024
}

/// Waits until it is so.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let waited = timeout(PATIENCE, async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// Gives the node a moment to do what it was asked.
async fn a_moment() {
    tokio::time::sleep(Duration::from_millis(500)).await;
}
