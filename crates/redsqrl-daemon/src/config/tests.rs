use super::*;
use std::ffi::OsString;
use std::path::Path;

fn written(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

fn variables(pairs: &[(&str, &str)]) -> Variables {
    let pairs = pairs
        .iter()
        .map(|(name, text)| (OsString::from(name), OsString::from(text)));
    Variables::from_pairs(pairs).unwrap()
}

fn read_with(text: &str, pairs: &[(&str, &str)]) -> Result<NodeConfig, String> {
    let file = written(text);
    load(Some(file.path()), &variables(pairs)).map_err(|fault| fault.to_string())
}

fn read(text: &str) -> Result<NodeConfig, String> {
    read_with(text, &[])
}

/// Asserts that reading fails, and that the message has each part.
fn refused(text: &str, parts: &[&str]) {
    let message = read(text).unwrap_err();
    for part in parts {
        assert!(message.contains(part), "no {part:?} in {message:?}");
    }
}

#[test]
fn nothing_is_needed() {
    let config = load(None, &Variables::default()).unwrap();
    assert_eq!(config.http.listen, HTTP_LISTEN);
    for empty in ["", "# all defaults\n", "---\n", "{}"] {
        assert_eq!(read(empty).unwrap().resp.listen, RESP_LISTEN, "{empty:?}");
    }
    let resolved = config.resolved("me");
    assert_eq!(
        resolved.engine.sql_url.unwrap().expose(),
        "sqlite:redsqrl-data/redsqrl.db"
    );
    assert_eq!(
        resolved.engine.wal_path.unwrap(),
        Path::new("redsqrl-data/wal.db")
    );
}

#[test]
fn every_section_is_read() {
    let config = read(
        "node_id: uk.node.london-1\ndir: /srv/redsqrl\nengine:\n  batch_flush_ms: 50\n  ack: stored\n\
         http:\n  listen: 0.0.0.0:80\n  max_body: 1000\nresp: {listen: 'localhost:6379', password: 0123, max_clients: 5}\n\
         log: {level: debug, format: json}\n",
    )
    .unwrap();
    assert_eq!(config.given_node_id(), Some("uk.node.london-1"));
    assert_eq!(config.engine.batch_flush_ms, 50);
    assert_eq!(config.max_body(), 1000);
    assert_eq!(config.resp.listen.to_string(), "127.0.0.1:6379");
    assert_eq!(config.resp.password.unwrap().expose(), "0123");
    assert_eq!(config.log.format, LogFormat::Json);
}

#[test]
fn wrong_keys_are_named_with_their_place_and_the_nearest_known_one() {
    refused(
        "node_id: a\nhttp:\n  lissten: 1.2.3.4:80\n",
        &[
            "line 3, column 3",
            "`http.lissten`",
            "`listen`",
            "max_body",
            ".yaml",
        ],
    );
    refused("htpp: {}\n", &["line 1", "`htpp`", "Did you mean `http`?"]);
    refused(
        "engine:\n  batch_flush_sm: 3\n",
        &["line 2", "`engine.batch_flush_sm`", "`batch_flush_ms`"],
    );
}

#[test]
fn wrong_values_are_named_with_their_place_and_what_was_expected() {
    refused(
        "http:\n  listen: nowhere\n",
        &["line 2", "`http.listen`", "127.0.0.1:7380"],
    );
    refused(
        "engine:\n  batch_flush_ms: soon\n",
        &["line 2", "`engine.batch_flush_ms`", "u64"],
    );
    refused(
        "log:\n  format: xml\n",
        &["line 2", "`log.format`", "text, json"],
    );
    refused(
        "log:\n  level: loud\n",
        &["line 2", "`log.level`", "loud", "info"],
    );
    refused(
        "# x\nengine:\n  batch_flush_count: 0\n",
        &[
            "line 3, column 3",
            "`engine.batch_flush_count`",
            "1 to 1000000",
        ],
    );
    refused(
        "resp: {max_clients: 0}\n",
        &["`resp.max_clients`", "at least 1"],
    );
    refused("node_id: a\nnode_id: b\n", &["line 2", "twice"]);
    refused("node_id: [1\n", &["line"]);
    refused("[]", &["line 1"]);
    refused(
        "node_id: a\nengine: {node_id: b}\n",
        &["engine.node_id", "one of the two"],
    );
}

#[test]
fn a_section_without_keys_is_a_section() {
    assert_eq!(read("http:\n").unwrap().http.listen, HTTP_LISTEN);
}

#[test]
fn variables_win_over_the_file() {
    let text = "http:\n  listen: 1.1.1.1:1\n  max_body: 7\n";
    let pairs = [
        ("REDSQRL__HTTP__LISTEN", "2.2.2.2:2"),
        ("REDSQRL__RESP__PASSWORD", "a: #b"),
        ("REDSQRL__ENGINE__BATCH_FLUSH_MS", "9"),
        ("REDSQRL__ENGINE__ACK", "stored"),
        ("REDSQRL__ENGINE__REDIS_EVICTION_ENABLED", "false"),
        ("REDSQRL__NODE_ID", "n1"),
        ("REDSQRL_UNRELATED", "x"),
    ];
    let config = read_with(text, &pairs).unwrap();
    assert_eq!(config.http.listen.to_string(), "2.2.2.2:2");
    assert_eq!(config.http.max_body, Some(7));
    assert_eq!(config.resp.password.unwrap().expose(), "a: #b");
    assert_eq!(config.engine.batch_flush_ms, 9);
    assert_eq!(config.engine.ack, Some(sync_engine::Ack::Stored));
    assert!(!config.engine.redis_eviction_enabled);
    assert_eq!(config.node_id.as_deref(), Some("n1"));
    let unset = read_with("node_id: n0\n", &[("REDSQRL__NODE_ID", "")]).unwrap();
    assert_eq!(unset.node_id, None);
}

#[test]
fn wrong_variables_are_named() {
    for (name, text, part) in [
        (
            "REDSQRL__HTTP__LISSTEN",
            "1.1.1.1:1",
            "Did you mean `listen`?",
        ),
        ("REDSQRL__HTPP__LISTEN", "1.1.1.1:1", "`htpp`"),
        (
            "REDSQRL__ENGINE__BATCH_FLUSH_MS",
            "soon",
            "`engine.batch_flush_ms`",
        ),
        ("REDSQRL__ENGINE__BATCH_FLUSH_MS", "0", "1 to"),
        ("REDSQRL__HTTP", "x", "`http`"),
    ] {
        let message = read_with("http: {max_body: 5}\n", &[(name, text)]).unwrap_err();
        assert!(
            message.contains(name) && message.contains(part),
            "{message}"
        );
    }
    let both = [("REDSQRL__HTTP", "x"), ("REDSQRL__HTTP__LISTEN", "y")];
    let both = both.map(|(name, text)| (OsString::from(name), OsString::from(text)));
    assert!(Variables::from_pairs(both).is_err());
}

#[test]
fn i14_no_secret_is_shown() {
    let text = "engine:\n  redis_url: redis://:hunter2@h/0\n  sql_url: mysql://u:hunter2@h/d\nresp: {password: hunter2}\n";
    let config = read(text).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
    for wrong in [
        "resp: {password: [hunter2]}\n",
        "resp: {pasword: hunter2}\n",
        "resp: {password: hunter2, max_clients: x}\n",
        "engine: {redis_url: 'ftp://:hunter2@h'}\n",
        "engine: {sql_url: {a: hunter2}}\n",
        "resp:\n  password: 'hunter2\n",
    ] {
        let message = read(wrong).unwrap_err();
        assert!(!message.contains("hunter2"), "{message}");
    }
}

#[test]
fn peers_turn_the_change_stream_on() {
    let text = "node_id: a\nreplication:\n  peers:\n  - node_id: b\n    redis_url: redis://:hunter2@b:7379\n  settings:\n    hot_path: {block_timeout: 2s}\n";
    let config = read(text).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
    assert!(!config.engine.enable_cdc_stream);
    let resolved = config.resolved("a");
    assert!(resolved.engine.enable_cdc_stream);
    assert_eq!(resolved.replication.local_node_id, "a");
    assert_eq!(
        resolved.replication.cursor.sqlite_path,
        Path::new("redsqrl-data/replication_cursors.db")
    );
    refused(
        "node_id: b\nreplication:\n  peers:\n  - {node_id: b, redis_url: 'redis://b'}\n",
        &["line 3", "replication.peers[0].node_id", "another node"],
    );
    refused(
        "replication:\n  peers:\n  - node_id: b\n",
        &["`replication.peers", "redis_url", "missing"],
    );
    refused(
        "replication:\n  settings:\n    cold_path: {interval_sek: 3}\n",
        &[
            "line 3",
            "`replication.settings.cold_path.interval_sek`",
            "`interval_sec`",
        ],
    );
    refused("node_id: a b\n", &["line 1", "`node_id`", "spaces"]);
    refused(
        "node_id: a\nreplication: {local_node_id: b}\n",
        &["replication.local_node_id", "one of the two"],
    );
}

#[test]
fn secrets_come_from_files() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("pw"), "hunter2\n").unwrap();
    let file = dir.path().join("node.yaml");
    std::fs::write(
        &file,
        "resp: {password: '${file:pw}'}\nengine: {redis_url: 'redis://:${file:pw}@h/0'}\n",
    )
    .unwrap();
    let config = load(Some(&file), &Variables::default()).unwrap();
    assert_eq!(config.resp.password.unwrap().expose(), "hunter2");
    assert_eq!(
        config.engine.redis_url.unwrap().expose(),
        "redis://:hunter2@h/0"
    );
    std::fs::write(&file, "resp: {password: '${file:missing}'}\n").unwrap();
    let message = load(Some(&file), &Variables::default())
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("resp.password") && message.contains("missing"),
        "{message}"
    );
    let message = load(Some(&dir.path().join("none.yaml")), &Variables::default())
        .unwrap_err()
        .to_string();
    assert!(message.contains("none.yaml"), "{message}");
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "[a-z:\\- \\n{}\\[\\]'\"#&*|>0-9]{0,80}") {
        proptest::prop_assert!(super::file::parse_for_tests(&text).is_ok() || !text.is_empty());
    }
}
