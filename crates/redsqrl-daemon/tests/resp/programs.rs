//! Programs of others: redis-cli, redis-benchmark, redis-py.

use std::process::{Command, Output};

use crate::node::Node;
use crate::python;

/// Runs a program without holding up the server under test.
async fn run(mut command: Command) -> Output {
    let program = command.get_program().to_string_lossy().into_owned();
    let ran = tokio::task::spawn_blocking(move || command.output())
        .await
        .unwrap();
    ran.unwrap_or_else(|error| panic!("{program}: {error}; `cargo xtask install` installs it"))
}

fn text(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!(
        "{}{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(err)
    )
}

async fn redis_cli(port: u16, args: &[&str]) -> String {
    let mut command = Command::new("redis-cli");
    command.args(["-p", &port.to_string()]).args(args);
    text(&run(command).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_cli_is_content() {
    let node = Node::start().await;
    let port = node.port();
    assert_eq!(redis_cli(port, &["SET", "uk.a", "hello"]).await, "OK\n");
    assert_eq!(
        redis_cli(port, &["-3", "GET", "uk.a"]).await,
        "\"hello\"\n".replace('"', "")
    );
    assert_eq!(
        redis_cli(port, &["--scan", "--pattern", "uk.*"]).await,
        "uk.a\n"
    );
    assert!(
        redis_cli(port, &["INFO", "keyspace"])
            .await
            .contains("db0:keys=1")
    );
    assert!(redis_cli(port, &["--bigkeys"]).await.contains("uk.a"));
    assert!(
        redis_cli(port, &["XADD", "uk.s", "*", "a", "b"])
            .await
            .starts_with("ERR ")
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_benchmark_runs() {
    let node = Node::start().await;
    let mut command = Command::new("redis-benchmark");
    command.args(["-p", &node.port().to_string()]);
    command.args(["-t", "set,get,mset", "-n", "20000", "-P", "16", "-q"]);
    let output = run(command).await;
    let figures = text(&output).replace('\r', "\n");
    assert!(output.status.success(), "{figures}");
    for test in ["SET: ", "GET: ", "MSET (10 keys): "] {
        let line = figures
            .lines()
            .find(|line| line.starts_with(test) && line.contains("p50"));
        assert!(line.is_some(), "{test} in {figures}");
    }
    node.stop().await;
}

const PYTHON: &str = r#"
import sys, time
import redis

def eventually(holds):
    until = time.time() + 60
    while not holds():
        assert time.time() < until
        time.sleep(0.05)

for protocol in (2, 3):
    options = {"protocol": 3} if protocol == 3 and redis.VERSION[0] >= 5 else {}
    r = redis.Redis(port=int(sys.argv[1]), **options)
    assert r.ping()
    assert r.set("py.a", b"\x00\xff") and r.get("py.a") == b"\x00\xff"
    assert r.set("py.a", "x", nx=True) is None
    assert r.mset({f"py.m.{n}": n for n in range(200)})
    assert r.mget("py.m.7", "py.none") == [b"7", None]
    assert len(set(r.scan_iter("py.m.*", count=30))) == 200
    eventually(lambda: r.dbsize() == 201)
    pipe = r.pipeline(transaction=False)
    for n in range(2000):
        pipe.set(f"py.p.{n}", n).get(f"py.p.{n}")
    replies = pipe.execute()
    assert replies[1::2] == [str(n).encode() for n in range(2000)]
    assert r.setex("py.e", 100, "v") and 80 <= r.ttl("py.e") <= 100
    assert r.persist("py.e") and r.ttl("py.e") == -1
    assert r.delete("py.e", "py.none") == 1 and r.exists("py.e") == 0
    assert r.info("server")["redis_mode"] == "standalone"
    assert r.config_get("maxclients")["maxclients"] == "10000"
    assert r.xlen("__local__:cdc") > 0
    found = r.xread({"__local__:cdc": "0"}, count=1)
    entries = found["__local__:cdc".encode()][0] if isinstance(found, dict) else found[0][1]
    assert entries[0][1][b"key"] == b"py.a", entries
    try:
        r.xadd("py.s", {"a": "b"})
        raise SystemExit("an ordinary key took a stream")
    except redis.ResponseError as error:
        assert "only under redsqrl's own keys" in str(error)
    assert r.delete(*r.scan_iter(count=1000)) == 2201
print("content")
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_py_is_content() {
    let node = Node::start().await;
    let port = node.port().to_string();
    let said = tokio::task::spawn_blocking(move || python::run(PYTHON, &[port])).await;
    assert_eq!(said.unwrap(), "content\n");
    node.stop().await;
}
