//! One node: a `redsqrl serve`, its directory, and the servers that are its own.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::process::{Child, Command, Stdio};

use redis::streams::StreamRangeReply;
use tempfile::TempDir;
use testbed::{FaultyProxy, RedisServer};

use super::answer::Answer;
use super::http;
use super::{PATIENCE, eventually};

/// Where a node keeps its items.
pub struct Tiers {
    redis: bool,
    sql: Option<String>,
}

impl Tiers {
    /// An SQLite file and nothing else: peers read on the node's own port.
    pub fn embedded() -> Self {
        let (redis, sql) = (false, None);
        Self { redis, sql }
    }

    /// A Redis of its own, and an SQLite file.
    pub fn redis() -> Self {
        let (redis, sql) = (true, None);
        Self { redis, sql }
    }

    /// A Redis of its own, and this database.
    pub fn redis_and(sql: String) -> Self {
        let (redis, sql) = (true, Some(sql));
        Self { redis, sql }
    }
}

/// How nodes learn of each other's writes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Paths {
    Both,
    /// By comparing trees alone.
    Cold,
}

pub struct Node {
    child: Option<Child>,
    id: String,
    pub http: u16,
    pub resp: u16,
    /// What peers read goes through here; cut, the node is out of the peers' reach.
    pub proxy: FaultyProxy,
    redis: Option<RedisServer>,
    sql: Option<String>,
    dir: TempDir,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = std::fs::read(self.dir.path().join("log")).unwrap_or_default();
            let tail = &log[log.len().saturating_sub(4000)..];
            eprintln!("--- {}:\n{}", self.id, String::from_utf8_lossy(tail));
        }
    }
}

impl Node {
    /// Its servers; the node itself does not run yet.
    pub fn prepare(id: String, tiers: Tiers) -> Self {
        let redis = tiers.redis.then(|| RedisServer::start().unwrap());
        let resp = testbed::free_port().unwrap();
        let read_at = redis.as_ref().map_or(resp, |redis| redis.port());
        Self {
            child: None,
            id,
            http: testbed::free_port().unwrap(),
            resp,
            proxy: FaultyProxy::start(([127, 0, 0, 1], read_at).into()).unwrap(),
            redis,
            sql: tiers.sql,
            dir: tempfile::tempdir().unwrap(),
        }
    }

    pub fn redis(&self) -> &RedisServer {
        self.redis.as_ref().expect("a node with a Redis")
    }

    pub fn settings(&self, peers: &[&Node], paths: Paths) {
        let mut engine = vec!["redis_response_timeout_ms: 2000".to_string()];
        engine.extend(
            self.redis
                .as_ref()
                .map(|it| format!("redis_url: '{}'", it.url())),
        );
        engine.extend(self.sql.as_ref().map(|url| format!("sql_url: '{url}'")));
        let peers: Vec<String> = peers.iter().map(|peer| peer.as_peer()).collect();
        let text = format!(
            "node_id: {}\ndir: data\nengine: {{{}}}\nreplication:\n  peers: [{}]\n  settings:\n    \
             hot_path: {{enabled: {}, block_timeout: 1s, adaptive_batch_size: true}}\n    \
             cold_path: {{interval_sec: 1, backoff_base_sec: 1, backoff_max_sec: 1}}\n",
            self.id,
            engine.join(", "),
            peers.join(", "),
            paths == Paths::Both,
        );
        std::fs::write(self.dir.path().join("node.yaml"), text).unwrap();
    }

    fn as_peer(&self) -> String {
        let (id, way) = (&self.id, self.proxy.addr());
        format!("{{node_id: {id}, redis_url: 'redis://{way}', circuit_reset_timeout_sec: 1}}")
    }

    /// Starts the process and waits until it serves.
    pub fn start(&mut self) {
        assert!(self.child.is_none(), "{} runs", self.id);
        let mut log = OpenOptions::new();
        let log = log.create(true).append(true);
        let log = log.open(self.dir.path().join("log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_redsqrl"));
        // Whoever runs the tests may have settings for nodes of their own.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("REDSQRL") {
                command.env_remove(name);
            }
        }
        let child = command
            .args(["serve", "--stop-with-stdin", "--config", "node.yaml"])
            .args(["--http", &format!("127.0.0.1:{}", self.http)])
            .args(["--resp", &format!("127.0.0.1:{}", self.resp)])
            .current_dir(self.dir.path())
            .env("NO_COLOR", "1")
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        self.child = Some(child.unwrap());
        eventually("the node serves", || {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "{} ended: {ended:?}", self.id);
            match http::ask(self.http, "GET", "/ready", b"") {
                Ok(answer) if answer.status == 200 => Ok(()),
                Ok(answer) => Err(String::from_utf8_lossy(&answer.body).into_owned()),
                Err(error) => Err(error.to_string()),
            }
        });
    }

    /// Stops it politely; it has to end well.
    pub fn stop(&mut self) {
        let mut child = self.child.take().expect("a running node");
        drop(child.stdin.take());
        let status = eventually("the node stops", || {
            child.try_wait().unwrap().ok_or_else(|| "it runs".into())
        });
        assert!(status.success(), "{}: {status}", self.id);
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().ok();
            child.wait().ok();
        }
    }

    pub fn ask(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        let answer = http::ask(self.http, method, path, body);
        answer.unwrap_or_else(|error| panic!("{} {method} {path}: {error}", self.id))
    }

    pub fn put(&self, key: &str, value: &[u8]) {
        let answer = self.ask("PUT", &format!("/v1/items/{key}"), value);
        let said = String::from_utf8_lossy(&answer.body);
        assert_eq!(answer.status, 200, "{} PUT {key}: {said}", self.id);
    }

    pub fn delete(&self, key: &str) {
        let answer = self.ask("DELETE", &format!("/v1/items/{key}"), b"");
        assert_eq!(answer.status, 204, "{} DELETE {key}", self.id);
    }

    pub fn get(&self, key: &str) -> Option<Vec<u8>> {
        let answer = self.ask("GET", &format!("/v1/items/{key}"), b"");
        match answer.status {
            200 => Some(answer.body),
            404 => None,
            status => panic!("{} GET {key}: {status}", self.id),
        }
    }

    /// A client of the Redis-protocol port.
    pub fn client(&self) -> redis::Connection {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}", self.resp));
        let connection = client
            .unwrap()
            .get_connection_with_timeout(PATIENCE)
            .unwrap();
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        connection
    }

    /// The root of the tree, and how many rows it stands for: tombstones are some of them.
    pub fn root(&self) -> (String, u64) {
        let root = self.ask("GET", "/v1/merkle", b"").json();
        let hash = root["root"].as_str().unwrap().to_string();
        (hash, root["count"].as_u64().unwrap())
    }

    /// Every item, as the node lists it: stamp, version, state, hash, content.
    pub fn items(&self) -> BTreeMap<String, serde_json::Value> {
        let mut items = BTreeMap::new();
        let mut next = Some(String::new());
        while let Some(after) = next {
            let path = format!("/v1/items?content=true&limit=1000&format=ndjson{after}");
            let page = self.ask("GET", &path, b"");
            assert_eq!(page.status, 200);
            for line in page
                .body
                .split(|byte| *byte == b'\n')
                .filter(|line| !line.is_empty())
            {
                let item: serde_json::Value = serde_json::from_slice(line).unwrap();
                items.insert(item["id"].as_str().unwrap().into(), item);
            }
            let after = page.header("x-redsqrl-next");
            next = after.map(|after| format!("&after={after}"));
        }
        items
    }

    /// Waits until the stream in its Redis tells of this, PUT or DEL, of the key.
    pub fn published(&self, op: &str, key: &str) {
        let client = redis::Client::open(self.redis().url()).unwrap();
        let mut connection = client.get_connection().unwrap();
        let mut newest = redis::cmd("XREVRANGE");
        newest.arg("__local__:cdc").arg("+").arg("-");
        newest.arg("COUNT").arg(100);
        eventually("the stream tells of it", || {
            let reply: StreamRangeReply = newest.query(&mut connection).unwrap();
            let told = reply.ids.iter();
            let told = told.map(|it| (it.get::<String>("op"), it.get::<String>("key")));
            let told: Vec<_> = told.collect();
            match told.contains(&(Some(op.into()), Some(key.into()))) {
                true => Ok(()),
                false => Err(format!("it tells of {told:?}")),
            }
        });
    }

    /// How the node sees its peers.
    pub fn peers(&self) -> String {
        String::from_utf8_lossy(&self.ask("GET", "/v1/peers", b"").body).into_owned()
    }
}
