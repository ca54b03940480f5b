//! The hot path over one link, beside Redis's own replication of the same items in the same run.
//!
//! A node follows another one: what it missed while it was away (catching up), writes as fast as they come (live), and
//! 10,000 writes a second (lag). "embedded" reads the other node's own port, "Redis" a Redis of that node; both store in SQLite.
//! What is compared is not the same: a node merges by stamps and has stored and hashed each item before it goes on, a
//! replica of Redis has it in memory.
//!
//! `cargo bench -p redsqrl-daemon --bench follow -- [items]`

#![allow(clippy::disallowed_methods, reason = "a bench lives in real time")]

use std::path::Path;
use std::time::{Duration, Instant};

use redis::ConnectionLike;
use redsqrl_daemon::config::NodeConfig;
use redsqrl_daemon::node::Node;
use replication_engine::config::PeerConfig;
use sync_engine::SyncItem;
use testbed::RedisServer;

type Failure = Box<dyn std::error::Error>;

const PATIENCE: Duration = Duration::from_secs(120);

/// Writes a second, and for how long, when the lag is measured.
const PACE: usize = 10_000;
const PACED_SECS: usize = 5;

fn main() -> Result<(), Failure> {
    let items = std::env::args().filter_map(|word| word.parse().ok()).next();
    let items = items.unwrap_or(100_000);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let redis = replica(items)?;
    println!("Redis's REPLICAOF, live: {redis:.0} items/s");
    for has_redis in [false, true] {
        runtime.block_on(follow(has_redis, items, redis))?;
    }
    Ok(())
}

fn value(n: usize) -> Vec<u8> {
    let mut value = format!("{{\"n\":{n},\"pad\":\"").into_bytes();
    value.resize(254, b'x');
    value.extend(b"\"}");
    value
}

fn rate(items: usize, begun: Instant) -> f64 {
    items as f64 / begun.elapsed().as_secs_f64()
}

/// Items a second that a replica of a Redis takes while they are written.
fn replica(items: usize) -> Result<f64, Failure> {
    let (from, to) = (RedisServer::start()?, RedisServer::start()?);
    let mut source = redis::Client::open(from.url())?.get_connection()?;
    let mut copy = redis::Client::open(to.url())?.get_connection()?;
    redis::cmd("REPLICAOF")
        .arg("127.0.0.1")
        .arg(from.port())
        .exec(&mut copy)?;
    let is_up = |copy: &mut redis::Connection| -> Result<bool, Failure> {
        let info: String = redis::cmd("INFO").arg("replication").query(copy)?;
        Ok(info.contains("master_link_status:up"))
    };
    let patience = Instant::now();
    while !is_up(&mut copy)? {
        assert!(patience.elapsed() < PATIENCE, "the replica came up");
        std::thread::sleep(Duration::from_millis(10));
    }
    let begun = Instant::now();
    for chunk in (0..items).collect::<Vec<_>>().chunks(1000) {
        let mut pipe = redis::pipe();
        for n in chunk {
            pipe.set(format!("bench.{n}"), value(*n)).ignore();
        }
        source.req_packed_commands(&pipe.get_packed_pipeline(), 0, chunk.len())?;
    }
    let size = |copy: &mut redis::Connection| redis::cmd("DBSIZE").query::<usize>(copy);
    while size(&mut copy)? < items {
        assert!(begun.elapsed() < PATIENCE, "the replica has everything");
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(rate(items, begun))
}

/// Two nodes: the second follows the first.
struct Link {
    from: Node,
    from_url: String,
    to_config: NodeConfig,
    to: Option<Node>,
    _servers: Vec<RedisServer>,
}

fn config(dir: &Path, id: &str, redis: Option<&RedisServer>) -> Result<NodeConfig, Failure> {
    let mut config = NodeConfig {
        node_id: Some(id.into()),
        dir: dir.join(id),
        ..NodeConfig::default()
    };
    config.http.listen = "127.0.0.1:0".parse()?;
    config.resp.listen = "127.0.0.1:0".parse()?;
    config.engine.enable_cdc_stream = true;
    config.engine.cdc_stream_maxlen = 1_000_000;
    config.engine.redis_url = redis.map(|redis| redis.url().into());
    Ok(config)
}

impl Link {
    async fn new(dir: &Path, has_redis: bool) -> Result<Self, Failure> {
        let mut servers = Vec::new();
        for _ in 0..if has_redis { 2 } else { 0 } {
            servers.push(RedisServer::start()?);
        }
        let from = Node::start(config(dir, "from", servers.first())?).await?;
        let from_url = match servers.first() {
            Some(redis) => redis.url().to_string(),
            None => format!("redis://{}", from.resp_address()),
        };
        let mut to_config = config(dir, "to", servers.get(1))?;
        // Alone, so that nothing comes by another way.
        to_config.replication.settings.cold_path.enabled = false;
        to_config.replication.peers = vec![PeerConfig::for_testing("from", from_url.as_str())];
        Ok(Self {
            from,
            from_url,
            to_config,
            to: None,
            _servers: servers,
        })
    }

    async fn write(&self, name: &str, range: std::ops::Range<usize>) -> Result<(), Failure> {
        let item = |n| SyncItem::new(format!("{name}.{n}"), value(n));
        let done = self.from.engine().submit_many(range.map(item).collect());
        assert_eq!(done.await?.failed, 0, "every write is accepted");
        Ok(())
    }

    async fn begin(&mut self) -> Result<(), Failure> {
        self.to = Some(Node::start(self.to_config.clone()).await?);
        Ok(())
    }

    async fn end(&mut self) -> Result<(), Failure> {
        if let Some(node) = self.to.take() {
            node.shutdown().await;
        }
        Ok(())
    }

    /// Events that the follower has applied since it was started.
    fn applied(&self) -> usize {
        let report = self.to.as_ref().map(|node| node.replication().peers());
        let applied = report.and_then(|peers| Some(peers.first()?.events_applied));
        usize::try_from(applied.unwrap_or(0)).unwrap_or(usize::MAX)
    }

    async fn until_applied(&self, count: usize) {
        let begun = Instant::now();
        while self.applied() < count {
            assert!(begun.elapsed() < PATIENCE, "{} of {count}", self.applied());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

async fn follow(has_redis: bool, items: usize, redis: f64) -> Result<(), Failure> {
    let name = if has_redis { "Redis" } else { "embedded" };
    let dir = tempfile::tempdir()?;
    let mut link = Link::new(dir.path(), has_redis).await?;
    println!("{name}, from {}", link.from_url);

    // A first look, so that there is a cursor.
    link.begin().await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    link.write("first", 0..1).await?;
    link.until_applied(1).await;
    link.end().await?;

    link.write("missed", 0..items).await?;
    link.from.engine().force_flush().await?;
    link.begin().await?;
    link.until_applied(1).await;
    let (begun, before) = (Instant::now(), link.applied());
    link.until_applied(items).await;
    let caught_up = rate(items - before, begun);
    println!("    catching up: {caught_up:.0} events/s");

    let (begun, before) = (Instant::now(), link.applied());
    link.write("live", 0..items).await?;
    link.until_applied(before + items).await;
    let live = rate(items, begun);
    println!(
        "    live: {live:.0} events/s, {:.2} of REPLICAOF",
        live / redis
    );

    let lags = paced(&link).await?;
    let at = |share: f64| lags[((lags.len() - 1) as f64 * share) as usize].as_millis();
    let (p50, p99) = (at(0.5), at(0.99));
    println!("    lag at {PACE} events/s: p50 {p50} ms, p99 {p99} ms");
    link.end().await?;
    link.from.shutdown().await;
    Ok(())
}

/// How long each hundred writes took to be applied, sorted.
async fn paced(link: &Link) -> Result<Vec<Duration>, Failure> {
    let (before, begun) = (link.applied(), Instant::now());
    let mut sent: Vec<(usize, Instant)> = Vec::new();
    let mut lags = Vec::new();
    let steps = PACE * PACED_SECS / 100;
    while lags.len() < steps {
        let due = begun + Duration::from_millis(10) * sent.len() as u32;
        if sent.len() < steps && Instant::now() >= due {
            let first = sent.len() * 100;
            link.write("paced", first..first + 100).await?;
            // Waits for its own write count from the time at which it was due.
            sent.push((before + first + 100, due));
        }
        let applied = link.applied();
        while let Some((_, at)) = sent.get(lags.len()).filter(|(upto, _)| *upto <= applied) {
            lags.push(at.elapsed());
        }
        assert!(begun.elapsed() < PATIENCE, "the lag ends");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    lags.sort_unstable();
    Ok(lags)
}
