use std::net::SocketAddr;
use std::sync::Arc;

use sync_engine::{EngineBuilder, Stamp, SyncEngine, SyncEngineConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use self::answer::Answer;
use super::{Face, HttpServer};

#[path = "../../tests/common/answer.rs"]
mod answer;
mod broken_log;

/// A real engine on an SQLite file, behind a real socket.
struct Stand {
    engine: Arc<SyncEngine>,
    server: HttpServer,
    address: SocketAddr,
    _dir: tempfile::TempDir,
}

async fn stand() -> Stand {
    stand_with(SyncEngineConfig::default()).await
}

async fn stand_with(config: SyncEngineConfig) -> Stand {
    stand_over(config, |engine| engine).await
}

async fn stand_over(
    config: SyncEngineConfig,
    with_parts: impl FnOnce(EngineBuilder) -> EngineBuilder,
) -> Stand {
    let dir = tempfile::tempdir().unwrap();
    let config = SyncEngineConfig {
        sql_url: Some(format!("sqlite:{}", dir.path().join("l3.db").display()).into()),
        wal_path: Some(dir.path().join("wal.db")),
        ..config
    };
    let (_settings, settings) = watch::channel(config.clone());
    let max_body = config.max_payload_bytes;
    let prefix = config.redis_prefix.clone();
    let engine = with_parts(SyncEngine::builder(config, settings)).build();
    let engine = Arc::new(engine);
    engine.start().await.unwrap();
    let peers = Arc::new(|| serde_json::json!({"state": "running", "peers": [{"node_id": "p"}]}));
    let face = Arc::new(Face::new(
        engine.clone(),
        sync_engine::cdc::keys::SpecialKeys::new(prefix.as_deref()),
        max_body,
        Arc::default(),
        crate::telemetry::metrics(),
        peers,
    ));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = HttpServer::start(listener, face).unwrap();
    Stand {
        address: server.address(),
        engine,
        server,
        _dir: dir,
    }
}

impl Answer {
    fn stamp(&self) -> Option<Stamp> {
        self.header("x-redsqrl-stamp")
            .map(|text| text.parse().unwrap())
    }
}

impl Stand {
    async fn raw(&self, request: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request).await.unwrap();
        Answer::read(stream).await
    }

    async fn ask(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
        let length = body.len();
        let mut request =
            format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n").into_bytes();
        request.extend_from_slice(body);
        self.raw(&request).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "", b"").await
    }

    async fn put(&self, path: &str, body: &[u8]) -> Answer {
        self.ask("PUT", path, "", body).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i7_what_is_put_is_got_bit_for_bit() {
    let stand = stand().await;
    let zstd = zstd::encode_all(&b"payload"[..], 3).unwrap();
    let big: Vec<u8> = (0..16u32 << 20)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    for (name, content, kind) in [
        ("empty", &b""[..], "application/octet-stream"),
        ("binary", b"\x00\xff\r\n\r\n", "application/octet-stream"),
        ("zstd", &zstd, "application/octet-stream"),
        ("json", b"{ \"b\" :1,\n\t\"a\": 1.0e2 }", "application/json"),
        ("big", &big, "application/octet-stream"),
    ] {
        let put = stand.put(&format!("/v1/items/t.{name}"), content).await;
        assert_eq!(put.status, 200, "{name}: {}", put.text());
        let got = stand.get(&format!("/v1/items/t.{name}")).await;
        assert!(got.status == 200 && got.body == content, "{name}");
        assert_eq!(got.header("content-type"), Some(kind), "{name}");
        assert_eq!(got.header("etag"), put.header("etag"));
        assert_eq!(got.header("x-redsqrl-stamp"), put.header("x-redsqrl-stamp"));
        assert_eq!(
            got.header("content-length"),
            Some(content.len().to_string().as_str())
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_has_a_life() {
    let stand = stand().await;
    assert_eq!(stand.get("/v1/items/a.b").await.status, 404);
    let put = stand
        .put("/v1/items/a.b?version=7&state=busy&ack=stored", b"{}")
        .await;
    assert_eq!(put.json()["version"], 7);
    let got = stand.get("/v1/items/a.b").await;
    assert_eq!(got.header("x-redsqrl-version"), Some("7"));
    let head = stand.ask("HEAD", "/v1/items/a.b", "", b"").await;
    assert_eq!(
        (head.status, head.header("content-length"), head.body.len()),
        (200, Some("2"), 0)
    );
    let tag = format!("if-none-match: {}\r\n", got.header("etag").unwrap());
    assert_eq!(
        stand.ask("GET", "/v1/items/a.b", &tag, b"").await.status,
        304
    );
    let deleted = stand.ask("DELETE", "/v1/items/a.b", "", b"").await;
    assert_eq!((deleted.status, deleted.body.len()), (204, 0));
    assert!(deleted.stamp().unwrap() > put.stamp().unwrap());
    let again = stand.ask("DELETE", "/v1/items/a.b", "", b"").await;
    assert_eq!((again.status, again.stamp()), (404, None));
    assert_eq!(stand.get("/v1/items/a.b").await.json()["kind"], "absent");
    let binary = stand
        .ask(
            "PUT",
            "/v1/items/raw",
            "content-type: application/octet-stream\r\n",
            b"{}",
        )
        .await;
    assert_eq!(binary.status, 200);
    assert_eq!(
        stand.get("/v1/items/raw").await.header("content-type"),
        Some("application/octet-stream")
    );
    assert_eq!(stand.put("/v1/items/long?ttl=100", b"1").await.status, 200);
    assert_eq!(stand.get("/v1/items/long").await.status, 200);
    assert_eq!(stand.put("/v1/items/short?ttl=1", b"1").await.status, 200);
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    assert_eq!(stand.get("/v1/items/short").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn i12_bad_requests_are_told_what_is_wrong() {
    let stand = stand_with(SyncEngineConfig {
        max_payload_bytes: 1000,
        ..SyncEngineConfig::default()
    })
    .await;
    let long = format!("/v1/items/{}", "a".repeat(1025));
    for (path, part) in [
        ("/v1/items/a%0Ab", "control character U+000A"),
        ("/v1/items/%FF", "UTF-8"),
        ("/v1/items/", "empty"),
        (long.as_str(), "1025 bytes long, the limit is 1024"),
        ("/v1/items/a?ttl=0", "ttl is 0"),
        ("/v1/items/a?ttl=99999999999999", "ttl is"),
        ("/v1/items/a?ttl=soon", "ttl"),
        ("/v1/items/a?ack=maybe", "maybe"),
        ("/v1/items/a?tll=3", "tll"),
        (&format!("/v1/items/a?state={}", "s".repeat(300)), "state"),
    ] {
        let answer = stand.put(path, b"x").await;
        assert_eq!(answer.status, 400, "{path}: {}", answer.text());
        assert!(
            answer.text().contains(part) && answer.json()["kind"] == "invalid",
            "{}",
            answer.text()
        );
    }
    for answer in [
        stand.put("/v1/items/a", &[0; 1001]).await,
        stand.put("/v1/items/a", &[0; 3 << 20]).await,
        stand.raw(b"PUT /v1/items/a HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 99999999999\r\nexpect: 100-continue\r\n\r\n").await,
        stand.raw(&[&b"PUT /v1/items/a HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\nfff\r\n"[..], &[7; 0xfff], b"\r\n0\r\n\r\n"].concat()).await,
    ] {
        assert_eq!(answer.status, 413, "{}", answer.head);
        assert!(answer.text().contains("1000 bytes"), "{}", answer.text());
    }
    assert_eq!(stand.get("/v1/items?limit=0").await.status, 400);
    assert_eq!(stand.get("/v1/items?limit=x").await.status, 400);
    assert_eq!(stand.get("/v2").await.status, 404);
    assert_eq!(stand.ask("PATCH", "/v1/items/a", "", b"").await.status, 405);
    assert_eq!(stand.raw(b"nonsense\r\n\r\n").await.status, 400);
    let flood = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(1 << 20));
    let mut stream = TcpStream::connect(stand.address).await.unwrap();
    // The server may hang up before all of it is sent.
    stream.write_all(flood.as_bytes()).await.ok();
    assert_eq!(stand.get("/ready").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_cannot_write_the_nodes_own_keys() {
    let stand = stand_with(SyncEngineConfig {
        redis_prefix: Some("app:".into()),
        ..SyncEngineConfig::default()
    })
    .await;
    for own in [
        "app:cdc",
        "app:merkle:root",
        "app:sync:req",
        "app:sync:resp:b",
    ] {
        let answer = stand.put(&format!("/v1/items/{own}"), b"x").await;
        assert_eq!(answer.status, 400, "{own}: {}", answer.text());
        assert!(answer.text().contains("redsqrl's own"), "{}", answer.text());
        assert!(!stand.engine.contains(own).await.unwrap());
    }
    // Those of other prefixes are names like any other.
    let answer = stand.put("/v1/items/__local__:cdc", b"x").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    stand.server.stop().await;
    stand.engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn listings_come_in_pages() {
    let stand = stand().await;
    for n in 0..70 {
        let content = if n == 3 {
            "{\n}".into()
        } else {
            format!("{{\"n\": {n}}}")
        };
        assert_eq!(
            stand
                .put(&format!("/v1/items/p.{n:02}"), content.as_bytes())
                .await
                .status,
            200
        );
    }
    assert_eq!(stand.put("/v1/items/q", b"1").await.status, 200);
    let first = stand.get("/v1/items?prefix=p.&limit=50").await;
    assert_eq!(first.json().as_array().unwrap().len(), 50);
    assert_eq!(first.json()[0]["id"], "p.00");
    assert_eq!(first.json()[0]["size"], 8);
    let next = first.header("x-redsqrl-next").unwrap();
    let second = stand
        .get(&format!("/v1/items?prefix=p.&limit=50&after={next}"))
        .await;
    assert_eq!(
        (
            second.json().as_array().unwrap().len(),
            second.header("x-redsqrl-next")
        ),
        (20, None)
    );
    let lines = stand
        .ask(
            "GET",
            "/v1/items?content=true&limit=4",
            "accept: application/x-ndjson\r\n",
            b"",
        )
        .await;
    let lines: Vec<&str> = lines.text().lines().collect();
    assert_eq!(lines.len(), 4);
    assert!(lines[0].contains(r#""content":{"n": 0}"#), "{}", lines[0]);
    assert!(
        lines[3].contains(r#""content_base64":"ewp9""#),
        "{}",
        lines[3]
    );
    assert_eq!(stand.get("/v1/items?prefix=none").await.text(), "[]\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_tells_how_it_is() {
    let stand = stand().await;
    assert_eq!(
        stand.put("/v1/items/uk.a?ack=stored", b"1").await.status,
        200
    );
    let health = stand.get("/health").await;
    assert_eq!(health.status, 200, "{}", health.text());
    assert_eq!(health.json()["archive"]["state"], "up");
    assert_eq!(
        health.json()["replication"],
        serde_json::json!({"state": "running"})
    );
    assert_eq!(stand.get("/ready").await.text(), "ready\n");
    assert_eq!(stand.get("/v1/merkle").await.json()["count"], 1);
    assert_eq!(
        stand.get("/v1/merkle?path=uk").await.json()["children"][0]["path"],
        "uk.a"
    );
    assert_eq!(
        stand.get("/v1/peers").await.json()["peers"][0]["node_id"],
        "p"
    );
    assert!(
        stand
            .get("/metrics")
            .await
            .text()
            .contains("sync_engine_writes_total")
    );
    assert!(stand.get("/").await.text().contains("/v1/items"));
    stand.engine.shutdown().await;
    assert_eq!(stand.get("/health").await.status, 503);
    assert_eq!(stand.get("/ready").await.status, 503);
    let closed = stand.get("/v1/items/uk.a").await;
    assert_eq!(
        (closed.status, closed.json()["kind"].as_str()),
        (503, Some("closed"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_ends_idle_connections_and_lets_requests_end() {
    let stand = stand().await;
    let mut idle = TcpStream::connect(stand.address).await.unwrap();
    let mut slow = TcpStream::connect(stand.address).await.unwrap();
    slow.write_all(b"PUT /v1/items/slow HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n")
        .await
        .unwrap();
    // From then on the request is under way.
    let mut go_on = [0; 25];
    slow.read_exact(&mut go_on).await.unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    slow.write_all(b"ha").await.unwrap();
    let stopping = tokio::spawn(stand.server.stop());
    let mut nothing = Vec::new();
    assert_eq!(idle.read_to_end(&mut nothing).await.unwrap(), 0);
    slow.write_all(b"lf").await.unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    stopping.await.unwrap();
    assert!(TcpStream::connect(stand.address).await.is_err());
}
