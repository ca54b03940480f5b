//! A node is killed while it is written to.

use std::time::Duration;

use testbed::MariaDb;

use crate::common::PATIENCE;
use crate::common::mesh::Mesh;
use crate::common::node::Tiers;

#[test]
fn i2_no_acknowledged_write_is_missing_after_a_kill() {
    let mariadb = MariaDb::start().unwrap();
    let sql = mariadb.fresh_database().unwrap();
    let mut mesh = Mesh::start([Tiers::redis(), Tiers::redis_and(sql)]);
    let mut acknowledged = Vec::new();
    for round in 0..4 {
        let victim = round % 2;
        let mut client = mesh[victim].client();
        let (tell, told) = std::sync::mpsc::channel();
        let writer = std::thread::spawn(move || {
            let mut done = Vec::new();
            for n in 0.. {
                let key = format!("k.{round}.{n}");
                if redis::cmd("SET")
                    .arg(&key)
                    .arg(&key)
                    .exec(&mut client)
                    .is_err()
                {
                    break;
                }
                done.push(key);
                tell.send(()).ok();
            }
            done
        });
        told.recv_timeout(PATIENCE).expect("an acknowledgement");
        std::thread::sleep(Duration::from_millis(300 + 150 * round as u64));
        mesh[victim].kill();
        let done = writer.join().unwrap();
        acknowledged.extend(done);
        mesh[victim].start();
    }
    crate::common::eventually("both have every acknowledged write", || {
        let roots = [mesh[0].root(), mesh[1].root()];
        match roots[0] == roots[1] && roots[0].1 >= acknowledged.len() as u64 {
            true => Ok(()),
            false => Err(format!("{roots:?} {}", acknowledged.len())),
        }
    });
    let items = mesh.converged_somewhere();
    // The write that was under way at each kill may be there or not.
    assert!(items.len() <= acknowledged.len() + 4);
    for key in &acknowledged {
        assert!(
            items.contains_key(key),
            "{key} was acknowledged and is missing"
        );
    }
}
