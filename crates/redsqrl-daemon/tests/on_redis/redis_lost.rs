//! The Redis of a node is lost, or what is in it.

use testbed::Fault;

use crate::common::eventually;
use crate::common::mesh::Mesh;
use crate::common::node::Tiers;

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
    eventually("the loss is seen", || {
        let seen = mesh[1].peers();
        match seen.contains("\"connected\":false") {
            true => Ok(()),
            false => Err(seen),
        }
    });
    write(&mesh, "seen");
    mesh[0].redis().restart().unwrap();
    write(&mesh, "back");
    assert_eq!(mesh.converged(120).len(), 108);

    mesh[1].redis().pause().unwrap();
    write(&mesh, "silent");
    mesh[1].redis().resume().unwrap();
    assert_eq!(mesh.converged(140).len(), 126);
}
