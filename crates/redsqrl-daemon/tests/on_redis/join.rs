//! An empty node joins.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use testbed::MariaDb;

use crate::common::mesh::Mesh;
use crate::common::node::{Node, Paths, Tiers};

const ITEMS: u64 = 10_000;

/// Half of the ids have dots, half have none.
fn fill(node: &Node) {
    let mut client = node.client();
    let ids: Vec<String> = (0..ITEMS)
        .map(|n| match n % 2 {
            0 => format!("uk.part-{}.record.{n}", n % 7),
            _ => format!("flat{n}"),
        })
        .collect();
    for part in ids.chunks(1000) {
        let mut pipeline = redis::pipe();
        for id in part {
            pipeline.set(id, format!("value of {id}")).ignore();
        }
        pipeline.exec(&mut client).unwrap();
    }
}

/// `mesh` has one node that runs, and one that does not yet.
fn joined(mut mesh: Mesh) {
    mesh[1].start();
    let items = mesh.converged(ITEMS);
    assert_eq!(items.len() as u64, ITEMS);
    for (id, item) in &items {
        let content = item["content_base64"].as_str().expect("no JSON");
        let content = STANDARD.decode(content).unwrap();
        assert_eq!(content, format!("value of {id}").as_bytes());
    }
}

#[test]
fn i5_an_empty_node_gets_everything_and_harms_nobody() {
    let mariadb = MariaDb::start().unwrap();
    let sql = mariadb.fresh_database().unwrap();
    let mut mesh = Mesh::prepare([Tiers::redis(), Tiers::redis_and(sql)], Paths::Both);
    mesh[0].start();
    fill(&mesh[0]);
    joined(mesh);
}

#[test]
fn i5_an_empty_embedded_node_gets_what_no_stream_tells_any_more() {
    let mut mesh = Mesh::prepare([Tiers::redis(), Tiers::embedded()], Paths::Both);
    mesh[0].start();
    fill(&mesh[0]);
    mesh[0].published("PUT", &format!("flat{}", ITEMS - 1));
    mesh[0].redis().flush_all().unwrap();
    joined(mesh);
}
