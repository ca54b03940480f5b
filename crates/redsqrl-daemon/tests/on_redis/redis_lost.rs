//! The Redis of a node is lost, or what is in it.

use std::time::{Duration, Instant};

use testbed::Fault;

use crate::common::eventually;
use crate::common::mesh::Mesh;
use crate::common::node::{Node, Tiers};

/// Writes ten items on each node, and deletes one of them.
fn write(mesh: &Mesh, name: &str) {
    for side in 0..2 {
        for n in 0..10 {
            mesh[side].put(&format!("{name}.{side}.{n}"), name.as_bytes());
        }
        mesh[side].delete(&format!("{name}.{side}.0"));
    }
}

#[test]
fn i4_nodes_are_equal_again_after_a_redis_was_lost() {
    let mesh = Mesh::start([Tiers::redis(), Tiers::redis()]);
    write(&mesh, "before");
    assert_eq!(mesh.converged(20).len(), 18);

    mesh[0].redis().flush_all().unwrap();
    write(&mesh, "flushed");
    mesh[1].redis().flush_all().unwrap();
    assert_eq!(mesh.converged(40).len(), 36);

    // What was told while nobody could hear it, and is told no more.
    mesh.network(Fault::Cut);
    write(&mesh, "unheard");
    for (side, node) in mesh.nodes.iter().enumerate() {
        node.published("PUT", &format!("unheard.{side}.9"));
        node.published("DEL", &format!("unheard.{side}.0"));
        node.redis().flush_all().unwrap();
    }
    mesh.network(Fault::Pass);
    assert_eq!(mesh.converged(60).len(), 54);

    mesh[0].redis().kill().unwrap();
    // Neither writers nor readers wait for a Redis.
    write(&mesh, "dead");
    assert!(mesh[0].get("before.1.5").is_some());
    seen_as_down(&mesh[1]);
    write(&mesh, "seen");
    mesh[0].redis().restart().unwrap();
    write(&mesh, "back");
    assert_eq!(mesh.converged(120).len(), 108);
}

#[test]
fn i13_a_silent_redis_takes_nothing_but_itself_away() {
    let mut mesh = Mesh::start([Tiers::redis(), Tiers::redis()]);
    write(&mesh, "before");
    mesh.converged(20);
    mesh[1].redis().pause().unwrap();
    let begun = Instant::now();
    write(&mesh, "silent");
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "writers waited for it"
    );
    // With an empty memory everything has to be looked up.
    mesh[1].stop();
    mesh[1].start();
    let begun = Instant::now();
    for n in 1..10 {
        assert!(mesh[1].get(&format!("before.0.{n}")).is_some());
        // Maybe only the Redis has it: nobody can say that it is not there.
        let unknown = mesh[1].ask("GET", &format!("/v1/items/no.such.{n}"), b"");
        assert_eq!(unknown.status, 503);
    }
    assert!(
        begun.elapsed() < Duration::from_secs(30),
        "each reader waited for it"
    );
    mesh[1].redis().resume().unwrap();
    assert_eq!(mesh.converged(40).len(), 36);
    eventually("it is asked again", || {
        match mesh[1].ask("GET", "/v1/items/no.such", b"").status {
            404 => Ok(()),
            status => Err(status.to_string()),
        }
    });
}

#[test]
fn i13_a_node_starts_without_its_redis() {
    let mut mesh = Mesh::start([Tiers::redis(), Tiers::redis()]);
    write(&mesh, "before");
    mesh.converged(20);
    mesh[1].stop();
    mesh[1].redis().kill().unwrap();
    mesh[1].start();
    write(&mesh, "without");
    assert!(mesh[1].get("before.0.5").is_some());
    mesh[1].redis().restart().unwrap();
    assert_eq!(mesh.converged(40).len(), 36);
}

/// Waits until the node says that its peer does not answer.
fn seen_as_down(node: &Node) {
    eventually("the loss is seen", || {
        let seen = node.peers();
        match seen.contains("\"connected\":false") {
            true => Ok(()),
            false => Err(seen),
        }
    });
}
