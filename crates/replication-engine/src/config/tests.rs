use super::*;

fn config() -> ReplicationConfig {
    ReplicationConfig {
        local_node_id: "uk.node.london-1".into(),
        peers: vec![PeerConfig::for_testing(
            "uk.node.manchester-1",
            "redis://u:hunter2@peer1:6379",
        )],
        ..Default::default()
    }
}

#[test]
fn the_defaults_are_the_documented_ones() {
    let text = r#"{"local_node_id": "a", "peers": [{"node_id": "b", "redis_url": "redis://b"}]}"#;
    let config: ReplicationConfig = serde_json::from_str(text).unwrap();
    config.validate().unwrap();
    // No `..`: a new field must be thought of here.
    let ReplicationConfig {
        local_node_id: _,
        peers,
        settings,
        cursor,
        relay,
    } = config;
    let Settings {
        hot_path,
        cold_path,
        peer_health,
        slo,
    } = settings;
    let HotPathSettings {
        enabled,
        batch_size,
        block_timeout,
        adaptive_batch_size,
        min_batch_size,
        max_batch_size,
        rate_limit_enabled,
        rate_limit_per_sec,
        rate_limit_burst,
    } = hot_path;
    assert_eq!(
        (enabled, batch_size, block_timeout.as_secs()),
        (true, 100, 5)
    );
    assert_eq!(
        (adaptive_batch_size, min_batch_size, max_batch_size),
        (false, 50, 1000)
    );
    assert_eq!(
        (rate_limit_enabled, rate_limit_per_sec, rate_limit_burst),
        (false, 10_000, 1_000)
    );
    let ColdPathSettings {
        enabled,
        interval_sec,
        max_items_per_cycle,
        backoff_base_sec,
        backoff_max_sec,
    } = cold_path;
    assert_eq!(
        (enabled, interval_sec, max_items_per_cycle),
        (true, 60, 1000)
    );
    assert_eq!((backoff_base_sec, backoff_max_sec), (5, 300));
    let PeerHealthSettings {
        enabled,
        ping_interval_sec,
        idle_threshold_sec,
    } = peer_health;
    assert_eq!(
        (enabled, ping_interval_sec, idle_threshold_sec),
        (true, 30, 60)
    );
    let SloSettings {
        max_stream_read_latency_ms,
        max_peer_op_latency_ms,
        max_batch_flush_latency_ms,
        max_replication_lag_sec,
    } = slo;
    assert_eq!(
        (max_stream_read_latency_ms, max_peer_op_latency_ms),
        (100, 500)
    );
    assert_eq!(
        (max_batch_flush_latency_ms, max_replication_lag_sec),
        (200, 30)
    );
    let CursorSettings {
        sqlite_path,
        wal_mode,
    } = cursor;
    assert_eq!(
        (sqlite_path.to_str(), wal_mode),
        (Some("replication_cursors.db"), true)
    );
    assert!(!relay);
    let [
        PeerConfig {
            priority,
            redis_prefix,
            circuit_failure_threshold,
            circuit_reset_timeout_sec,
            ..
        },
    ] = &peers[..]
    else {
        panic!("one peer");
    };
    assert_eq!(
        (
            *priority,
            redis_prefix,
            *circuit_failure_threshold,
            *circuit_reset_timeout_sec
        ),
        (0, &None, 5, 30)
    );
}

#[test]
fn durations_are_text_and_unknown_fields_are_errors() {
    let hot: HotPathSettings = serde_json::from_str(r#"{"block_timeout": "250ms"}"#).unwrap();
    assert_eq!(hot.block_timeout.as_millis(), 250);
    assert!(serde_json::from_str::<HotPathSettings>(r#"{"block_timeout": 5}"#).is_err());
    assert!(serde_json::from_str::<Settings>(r#"{"hotpath": {}}"#).is_err());
    let back = serde_json::to_string(&Settings::default()).unwrap();
    assert_eq!(
        serde_json::from_str::<Settings>(&back).unwrap(),
        Settings::default()
    );
}

#[test]
fn what_cannot_work_is_named() {
    let broken = |change: fn(&mut ReplicationConfig)| {
        let mut config = config();
        change(&mut config);
        config.validate().unwrap_err().field
    };
    assert_eq!(config().validate(), Ok(()));
    assert_eq!(broken(|c| c.local_node_id = String::new()), "local_node_id");
    assert_eq!(broken(|c| c.local_node_id = "a b".into()), "local_node_id");
    assert_eq!(
        broken(|c| c.peers[0].node_id = c.local_node_id.clone()),
        "peers[0].node_id"
    );
    assert_eq!(
        broken(|c| c.peers.push(c.peers[0].clone())),
        "peers[1].node_id"
    );
    assert_eq!(
        broken(|c| c.peers[0].redis_url = "http://x".into()),
        "peers[0].redis_url"
    );
    assert_eq!(
        broken(|c| c.peers[0].circuit_failure_threshold = 0),
        "peers[0].circuit_failure_threshold"
    );
    assert_eq!(
        broken(|c| c.settings.hot_path.batch_size = 0),
        "settings.hot_path.batch_size"
    );
    assert_eq!(
        broken(|c| c.settings.hot_path.max_batch_size = 10),
        "settings.hot_path.max_batch_size"
    );
    assert_eq!(
        broken(|c| c.settings.hot_path.block_timeout = std::time::Duration::ZERO),
        "settings.hot_path.block_timeout"
    );
    assert_eq!(
        broken(|c| c.settings.cold_path.backoff_max_sec = 1),
        "settings.cold_path.backoff_max_sec"
    );
}

#[test]
fn i14_passwords_are_not_shown() {
    let mut config = config();
    assert!(!format!("{config:?}").contains("hunter2"));
    config.peers[0].redis_url = "http://u:hunter2@x".into();
    let error = config.validate().unwrap_err();
    assert!(!format!("{error:?} {error}").contains("hunter2"));
}
