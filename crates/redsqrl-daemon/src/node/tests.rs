use super::*;
use crate::config::Secret;
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
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
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

#[test]
fn what_needs_a_restart_is_named() {
    let old = NodeConfig::default();
    let mut new = old.clone();
    new.dir = "elsewhere".into();
    new.engine.sql_url = Some("sqlite:other.db".into());
    new.resp.password = Some(Secret::from("x".to_string()));
    assert_eq!(needing_restart(&old, &new), ["dir", "engine.sql_url"]);
}
