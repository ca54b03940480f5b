//! Readers of items.

use super::*;

fn keys() -> Vec<String> {
    (0..ITEMS).map(key).collect()
}

/// Clients that ask all at once, and begin to read a moment later.
struct Crowd {
    wires: Vec<(Ask, Wire)>,
}

#[derive(Clone, Copy)]
enum Ask {
    /// Many GETs; the first ones have the node take all values to be short.
    Gets,
    MGet,
    /// What needs the items and does not send them.
    Look,
}

impl Ask {
    async fn send(self, wire: &mut Wire) {
        let nothing = "GET nothing\r\n".repeat(64);
        let mut words = keys();
        match self {
            Ask::Gets => {
                let gets = keys()
                    .iter()
                    .map(|key| format!("GET {key}\r\n"))
                    .collect::<String>();
                wire.send(format!("{nothing}{gets}").as_bytes()).await;
            }
            Ask::MGet => {
                words.insert(0, "MGET".into());
                words.push("nothing".into());
                wire.ask(&words).await;
            }
            Ask::Look => {
                words.insert(0, "EXISTS".into());
                wire.ask(&words).await;
                wire.ask(&["SCAN", "0", "COUNT", "1000"]).await;
            }
        }
    }

    async fn check(self, mut wire: Wire) {
        match self {
            Ask::Gets => {
                for _ in 0..64 {
                    assert_eq!(wire.line().await, "$-1");
                }
                wire.contents().await;
            }
            Ask::MGet => {
                assert_eq!(wire.head('*').await, ITEMS + 1);
                wire.contents().await;
                assert_eq!(wire.line().await, "$-1");
            }
            Ask::Look => {
                assert_eq!(wire.head(':').await, ITEMS);
                assert_eq!(wire.head('*').await, 2);
                assert_eq!(wire.text().await, "0");
                assert_eq!(wire.head('*').await, ITEMS);
                for key in keys() {
                    assert_eq!(wire.text().await, key);
                }
            }
        }
    }
}

impl Wire {
    async fn contents(&mut self) {
        for n in 0..ITEMS {
            self.content(n, ITEM).await;
        }
    }
}

impl Crowd {
    async fn ask(node: &Node, asks: &[Ask]) -> Self {
        let mut wires = Vec::new();
        for ask in asks {
            let mut wire = Wire::to(node).await;
            ask.send(&mut wire).await;
            wires.push((*ask, wire));
        }
        Crowd { wires }
    }

    async fn check(self) {
        let mut checks = tokio::task::JoinSet::new();
        for (ask, wire) in self.wires {
            checks.spawn(ask.check(wire));
        }
        while let Some(checked) = checks.join_next().await {
            checked.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn i8_greedy_readers_share_one_budget() {
    let _turn = TURN.lock().await;
    let node = filled(LIMITS).await;
    let watch = Watch::begin();
    let asks = [Ask::Gets, Ask::MGet, Ask::Gets, Ask::Look].repeat(6);
    let crowd = Crowd::ask(&node, &asks).await;
    a_moment().await;
    crowd.check().await;
    let grown = watch.grown();
    println!("{} clients: {} MiB grown", asks.len(), grown / MIB);
    for (room, bytes) in [
        (&node.budget.lookups, LIMITS.lookups),
        (&node.budget.replies, LIMITS.replies),
    ] {
        assert!(room.most_held_bytes() > ITEM, "{room:?}: it was needed");
        assert!(room.most_held_bytes() <= bytes, "{room:?}");
        until("it is given back", || room.held_bytes() == 0).await;
    }
    // What is left is what SQLite, the allocator and the test itself take.
    assert!(grown < 128 * MIB, "{grown} bytes");
    node.stop().await;
}
