//! The demo, as a user runs it: three processes, a cut network, a killed node, and every promise checked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Output};

fn demo(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_redsqrl"));
    command
        .arg("demo")
        .args(arguments)
        // Settings for other nodes are not for these.
        .env("REDSQRL__HTTP__LISTEN", "256.0.0.1:1");
    command.output().unwrap()
}

/// The first 2,000 cities, uncompressed.
fn few_cities(at: &Path) {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/cities.ndjson.zst");
    let compressed = std::fs::File::open(data).unwrap();
    let lines = BufReader::new(zstd::stream::read::Decoder::new(compressed).unwrap()).lines();
    let mut file = std::fs::File::create(at).unwrap();
    for line in lines.take(2000) {
        writeln!(file, "{}", line.unwrap()).unwrap();
    }
}

#[test]
fn every_promise_holds_in_the_demo() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("cities.ndjson");
    few_cities(&data);
    let place = home.path().join("nodes");
    let output = demo(&[
        "--once",
        "--data",
        data.to_str().unwrap(),
        "--dir",
        place.to_str().unwrap(),
    ]);
    let shown = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{shown}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    let result: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(result["ok"], true, "{text}");
    assert_eq!(result["items"], 2000);
    for fault in ["lost", "resurrected", "mismatched"] {
        assert_eq!(result[fault], 0, "{text}");
    }
    assert_eq!(result["roots_equal"], true);
    assert!(result["acknowledged"].as_u64().unwrap() > 4000, "{text}");
    assert!(result["lag_ms"]["p99"].as_f64().unwrap() > 0.0, "{text}");
    let checks = result["checks"].as_array().unwrap();
    assert!(checks.len() >= 12, "{text}");
    assert!(checks.iter().all(|check| check["ok"] == true), "{text}");
    assert!(!shown.contains('\x1b'), "no colours without a terminal");
    assert!(!place.exists(), "nothing is left behind");
}

#[test]
fn what_keeps_the_demo_from_starting_is_said() {
    let home = tempfile::tempdir().unwrap();
    let said = |arguments: &[&str]| {
        let output = demo(arguments);
        assert!(!output.status.success());
        let result: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(result["ok"], false);
        result["error"].as_str().unwrap().to_string()
    };
    let bad = home.path().join("bad.ndjson");
    std::fs::write(&bad, "{\"id\":\"a\",\"content\":1}\nnonsense\n").unwrap();
    let error = said(&["--once", "--data", bad.to_str().unwrap()]);
    assert!(error.contains("bad.ndjson, line 2"), "{error}");
    let error = said(&["--once", "--dir", home.path().to_str().unwrap()]);
    assert!(error.contains("not empty"), "{error}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let error = said(&["--once", "--base-port", &port]);
    assert!(error.contains("--base-port"), "{error}");
}
