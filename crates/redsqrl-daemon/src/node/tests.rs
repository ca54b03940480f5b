use super::*;
use sync_engine::SyncItem;

fn config(dir: &std::path::Path) -> NodeConfig {
    let mut config = NodeConfig {
        dir: dir.into(),
        ..NodeConfig::default()
    };
    config.http.listen = "127.0.0.1:0".parse().unwrap();
    config.resp.listen = "127.0.0.1:0".parse().unwrap();
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn i2_a_restart_finds_everything_and_is_the_same_node() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(config(dir.path())).await.unwrap();
    let id = node.id().to_string();
    for n in 0..500 {
        node.engine()
            .submit(SyncItem::new(format!("k.{n}"), vec![n as u8; 10]))
            .await
            .unwrap();
    }
    let report = node.shutdown().await;
    assert_eq!((report.unstored, report.errors.len()), (0, 0));
    let node = Node::start(config(dir.path())).await.unwrap();
    assert_eq!(node.id(), id);
    assert_eq!(node.engine().len().await.unwrap(), 500);
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_or_a_port_in_use_is_a_clear_error() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(config(dir.path())).await.unwrap();
    let message = Node::start(config(dir.path()))
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(message.contains("in use by a running node"), "{message}");
    let other = tempfile::tempdir().unwrap();
    let mut same_port = config(other.path());
    same_port.http.listen = node.http_address();
    let message = Node::start(same_port).await.err().unwrap().to_string();
    assert!(
        message.contains(&node.http_address().to_string()) && message.contains("HTTP"),
        "{message}"
    );
    // What failed has left nothing locked.
    Node::start(config(other.path()))
        .await
        .unwrap()
        .shutdown()
        .await;
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_settings_are_taken_and_bad_ones_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(config(dir.path())).await.unwrap();
    let mut new = config(dir.path());
    new.engine.max_payload_bytes = 10;
    node.reload(new.clone()).unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while node.engine().config().max_payload_bytes != 10 {
        assert!(
            tokio::time::Instant::now() < deadline,
            "the engine never took the new settings"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    new.engine.batch_flush_count = 0;
    assert!(node.reload(new).is_err());
    assert_eq!(node.engine().config().batch_flush_count, 1000);
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_that_is_not_published_is_not_on_the_port_either() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let dir = tempfile::tempdir().unwrap();
    for (published, begin) in [(true, "$64\r\n"), (false, "$-1\r\n:0\r\n+none\r\n")] {
        let mut config = config(dir.path());
        config.engine.merkle_calc_enabled = published;
        let node = Node::start(config).await.unwrap();
        let mut stream = tokio::net::TcpStream::connect(node.resp_address())
            .await
            .unwrap();
        let key = "__local__:merkle:root";
        let asked = format!("GET {key}\r\nEXISTS {key}\r\nTYPE {key}\r\nQUIT\r\n");
        stream.write_all(asked.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(begin), "{answer}");
        node.shutdown().await;
    }
}

/// Waits until `done` says so.
async fn eventually(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while !done().await {
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn with_peer(mut config: NodeConfig, id: &str, peer: &str, port: u16) -> NodeConfig {
    config.node_id = Some(id.into());
    let url = format!("redis://127.0.0.1:{port}");
    let peer = replication_engine::PeerConfig::for_testing(peer, url);
    config.replication.peers = vec![peer];
    config.replication.settings.cold_path.interval_sec = 1;
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn i4_two_nodes_without_a_redis_become_equal() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    // Ports must be known before either node runs.
    let free = || {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let (at_a, at_b) = (free(), free());
    let mut a = with_peer(config(one.path()), "a", "b", at_b.port());
    a.resp.listen = at_a;
    let mut b = with_peer(config(two.path()), "b", "a", at_a.port());
    b.resp.listen = at_b;
    let a = Node::start(a).await.unwrap();
    // Written before the peer has ever run: for the cold path.
    for n in 0..200 {
        let item = SyncItem::new(format!("old.{n}"), vec![7; 100]);
        a.engine().submit(item).await.unwrap();
    }
    let b = Node::start(b).await.unwrap();
    eventually("the old items arrive", async || {
        b.engine().len().await.unwrap() == 200
    })
    .await;
    b.engine()
        .submit(SyncItem::new("new", b"1".to_vec()))
        .await
        .unwrap();
    a.engine().delete("old.0").await.unwrap();
    eventually("the roots agree", async || {
        let roots = (a.engine().merkle_root(), b.engine().merkle_root());
        a.engine().get("new").await.unwrap().is_some()
            && b.engine().get("old.0").await.unwrap().is_none()
            && roots.0.unwrap() == roots.1.unwrap()
    })
    .await;
    a.shutdown().await;
    b.shutdown().await;
}
