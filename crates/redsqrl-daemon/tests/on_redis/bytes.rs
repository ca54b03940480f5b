//! What goes in on one node comes out on the other.

use testbed::MariaDb;

use crate::common::mesh::Mesh;
use crate::common::node::{Node, Tiers};

const LARGEST: usize = 16 << 20;

fn payloads() -> Vec<(&'static str, Vec<u8>)> {
    let text = "the same again and again ".repeat(500);
    vec![
        ("empty", Vec::new()),
        ("zstd", zstd::encode_all(text.as_bytes(), 3).unwrap()),
        ("zstd-magic-only", b"\x28\xb5\x2f\xfd".to_vec()),
        ("compressible", text.into_bytes()),
        ("not-utf8", b"\xff\xfe\x00\xc3\x28\xed\xa0\x80".to_vec()),
        ("json", b" {\"b\" :1.0,\t\"a\":[ ] ,\"b\":1e2}\r\n".to_vec()),
        ("json-null", b"null".to_vec()),
        ("every-byte", (0..=255).cycle().take(70_000).collect()),
    ]
}

fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    fastrand::Rng::with_seed(7).fill(&mut bytes);
    bytes
}

#[test]
fn i7_every_byte_arrives_as_it_was_sent() {
    let mariadb = MariaDb::start().unwrap();
    let sql = mariadb.fresh_database().unwrap();
    let mut mesh = Mesh::start([Tiers::redis(), Tiers::redis_and(sql)]);
    let mut sent = Vec::new();
    for (side, node) in mesh.nodes.iter().enumerate() {
        for (name, bytes) in payloads() {
            sent.push((
                put(node, &format!("http.{side}.{name}"), &bytes),
                bytes.clone(),
            ));
            sent.push((set(node, &format!("resp.{side}.{name}"), &bytes), bytes));
        }
    }
    // The largest there may be: one that cannot be made smaller, one that can.
    let (noise, zeros) = (noise(LARGEST), vec![0; LARGEST]);
    sent.push((put(&mesh[0], "largest.noise", &noise), noise));
    sent.push((set(&mesh[1], "largest.zeros", &zeros), zeros));
    mesh.roots_equal(sent.len() as u64);
    same(&mesh, &sent);
    // And from the databases, when nothing is left in memory or in a Redis.
    for node in &mut mesh.nodes {
        node.stop();
        node.redis().flush_all().unwrap();
        node.start();
    }
    mesh.roots_equal(sent.len() as u64);
    same(&mesh, &sent);
}

fn put(node: &Node, key: &str, bytes: &[u8]) -> String {
    node.put(key, bytes);
    key.into()
}

fn set(node: &Node, key: &str, bytes: &[u8]) -> String {
    let mut set = redis::cmd("SET");
    set.arg(key).arg(bytes).exec(&mut node.client()).unwrap();
    key.into()
}

/// Each through both faces of both nodes.
fn same(mesh: &Mesh, sent: &[(String, Vec<u8>)]) {
    for (side, node) in mesh.nodes.iter().enumerate() {
        let mut client = node.client();
        for (key, bytes) in sent {
            assert!(node.get(key).as_ref() == Some(bytes), "{key} on {side}");
            let got: Option<Vec<u8>> = redis::cmd("GET").arg(key).query(&mut client).unwrap();
            assert!(got.as_ref() == Some(bytes), "{key} on {side}");
        }
    }
}
