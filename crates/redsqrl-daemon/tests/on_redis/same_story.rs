//! Writes, deletes and conflicts on all sides: the same, whatever the nodes keep their items in.

use std::collections::HashSet;

use testbed::MariaDb;

use crate::common::mesh::Mesh;
use crate::common::node::{Paths, Tiers};

/// Tells the story; `mesh` runs and is empty.
fn story(mesh: &Mesh) {
    let sides = mesh.nodes.len();
    // On every side, through both of its faces.
    for (side, node) in mesh.nodes.iter().enumerate() {
        let mut pipeline = redis::pipe();
        for n in 0..100 {
            node.put(
                &format!("h.{side}.{n}"),
                format!("{{\"n\": {n} }}").as_bytes(),
            );
            pipeline.set(format!("r.{side}.{n}"), n);
        }
        pipeline.exec(&mut node.client()).unwrap();
    }
    let mut rows = 200 * sides as u64;
    assert_eq!(mesh.converged(rows).len() as u64, rows);
    // Deletes of what another side wrote; overwrites; and the same keys at the same time everywhere.
    let values: Vec<String> = (0..sides).map(|side| format!("of {side}")).collect();
    for (side, node) in mesh.nodes.iter().enumerate() {
        let other = (side + 1) % sides;
        let mut client = node.client();
        for n in 0..10 {
            node.delete(&format!("h.{other}.{n}"));
            let deleted: u64 = redis::cmd("DEL")
                .arg(format!("r.{other}.{n}"))
                .query(&mut client)
                .unwrap();
            assert_eq!(deleted, 1);
            node.put(&format!("h.{other}.{}", n + 50), b"newer");
        }
    }
    std::thread::scope(|scope| {
        for (node, value) in mesh.nodes.iter().zip(&values) {
            scope.spawn(move || {
                let mut client = node.client();
                for n in 0..30 {
                    let key = format!("c.{n}");
                    match n % 2 {
                        0 => node.put(&key, value.as_bytes()),
                        _ => redis::cmd("SET")
                            .arg(&key)
                            .arg(value)
                            .exec(&mut client)
                            .unwrap(),
                    }
                }
            });
        }
    });
    rows += 30;
    let items = mesh.converged(rows);
    assert_eq!(items.len() as u64, rows - 20 * sides as u64);
    let known: HashSet<&[u8]> = values.iter().map(String::as_bytes).collect();
    for node in &mesh.nodes {
        for side in 0..sides {
            for n in 0..10 {
                assert_eq!(node.get(&format!("h.{side}.{n}")), None);
                assert_eq!(node.get(&format!("r.{side}.{n}")), None);
                let newer = node.get(&format!("h.{side}.{}", n + 50));
                assert_eq!(newer.as_deref(), Some(&b"newer"[..]));
            }
        }
        for n in 0..30 {
            let key = format!("c.{n}");
            let value = node.get(&key).expect("one of the values");
            assert!(known.contains(&value[..]), "{key}: {value:?}");
            assert_eq!(Some(value), mesh[0].get(&key));
        }
    }
}

#[test]
fn i4_two_embedded_nodes_are_equal() {
    story(&Mesh::start([Tiers::embedded(), Tiers::embedded()]));
}

#[test]
fn i4_two_nodes_on_redis_are_equal() {
    let mariadb = MariaDb::start().unwrap();
    let sql = mariadb.fresh_database().unwrap();
    story(&Mesh::start([Tiers::redis(), Tiers::redis_and(sql)]));
}

#[test]
fn i4_three_nodes_on_redis_are_equal() {
    let mariadb = MariaDb::start().unwrap();
    let sql = || Tiers::redis_and(mariadb.fresh_database().unwrap());
    story(&Mesh::start([Tiers::redis(), sql(), sql()]));
}

#[test]
fn i4_a_node_on_redis_and_an_embedded_one_are_equal() {
    story(&Mesh::start([Tiers::redis(), Tiers::embedded()]));
}

#[test]
fn i4_nodes_that_only_compare_their_trees_are_equal() {
    let tiers = [Tiers::redis(), Tiers::embedded()];
    story(&Mesh::start_with(tiers, Paths::Cold));
}
