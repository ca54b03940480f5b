//! Nodes that did not see each other for a while.

use std::time::Duration;

use testbed::{Fault, MariaDb};

use crate::common::mesh::Mesh;
use crate::common::node::Tiers;

#[test]
fn i6_what_was_deleted_while_a_peer_was_away_stays_deleted() {
    let mut mesh = Mesh::start([Tiers::redis(), Tiers::redis()]);
    for n in 0..200 {
        mesh[n % 2].put(&format!("k.{n}"), b"old");
    }
    mesh.converged(200);
    for (round, away) in [1, 0].into_iter().enumerate() {
        let here = 1 - away;
        mesh[away].stop();
        let mine = round * 100..round * 100 + 50;
        for n in mine.clone() {
            mesh[here].delete(&format!("k.{n}"));
        }
        if round == 1 {
            // The stream forgets the deletes too.
            mesh[here].published("DEL", "k.149");
            mesh[here].redis().flush_all().unwrap();
        }
        mesh[away].start();
        assert_eq!(mesh.converged(200).len(), 150 - round * 50);
        std::thread::sleep(Duration::from_millis(2500)); // some more comparisons
        assert_eq!(mesh.converged(200).len(), 150 - round * 50);
        for n in mine {
            for node in &mesh.nodes {
                assert_eq!(node.get(&format!("k.{n}")), None);
            }
        }
    }
}

#[test]
fn i3_after_a_partition_one_value_is_left_the_newest() {
    let mariadb = MariaDb::start().unwrap();
    let sql = mariadb.fresh_database().unwrap();
    let mesh = Mesh::start([Tiers::redis(), Tiers::redis_and(sql)]);
    mesh[0].put("both", b"before");
    mesh[0].put("deleted", b"before");
    mesh.converged(2);
    for fault in [Fault::Cut, Fault::Stall] {
        mesh.network(fault);
        for n in 0..50 {
            mesh[n % 2].put(&format!("{fault:?}.{n}"), b"alone");
        }
        mesh[1].put("both", b"first");
        mesh[1].put("deleted", b"first");
        mesh[0].put("both", b"second");
        mesh[0].put("deleted", b"second");
        mesh[0].delete("deleted");
        assert_eq!(mesh[1].get("both").as_deref(), Some(&b"first"[..]));
        mesh.network(Fault::Pass);
        let so_far = if fault == Fault::Cut { 50 } else { 100 };
        assert_eq!(mesh.converged(so_far + 2).len() as u64, so_far + 1);
        for node in &mesh.nodes {
            assert_eq!(node.get("both").as_deref(), Some(&b"second"[..]));
            assert_eq!(node.get("deleted"), None);
        }
    }
}
