//! The Redis of a node is lost, or what is in it.

use crate::common::eventually;
use crate::common::mesh::Mesh;
use crate::common::node::Tiers;

/// Writes ten items on both nodes, of which one is deleted on the other.
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
    assert_eq!(mesh.converged(100).len(), 90);

    mesh[1].redis().pause().unwrap();
    write(&mesh, "silent");
    mesh[1].redis().resume().unwrap();
    assert_eq!(mesh.converged(120).len(), 108);
}
