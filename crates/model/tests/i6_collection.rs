//! I6: tombstones are collected, and nothing that was deleted comes back; nothing that is alive is lost over it.
//!
//! `MODEL_STATES`, `MODEL_WALKS` and `MODEL_SEED` let it look further, or elsewhere.

use model::explore::{Explored, explore, wander};
use model::step::Bounds;

mod common;

use common::{BOUNDS, CHAIN, MESH};

fn setting(name: &str, usual: usize) -> usize {
    let set = std::env::var(name).ok();
    set.and_then(|set| set.parse().ok()).unwrap_or(usual)
}

#[track_caller]
fn holds(explored: &Explored) {
    println!("{} states, all: {}", explored.states, explored.is_whole);
    if let Some((broken, way)) = &explored.broken {
        panic!("{broken:?} after {way:?}");
    }
}

#[test]
fn i6_all_states_of_one_write_and_one_failure() {
    for (is_linked, expulsions, wipes) in [(MESH, 1, 0), (MESH, 0, 1), (CHAIN, 1, 0)] {
        let bounds = Bounds {
            is_linked,
            writes: 1,
            wipes,
            expulsions,
            keys: 1,
            is_slow: false,
            ..BOUNDS
        };
        let explored = explore(&bounds, setting("MODEL_STATES", 1_500_000));
        holds(&explored);
        assert!(explored.is_whole, "there are more states");
    }
}

#[test]
fn i6_near_states_with_all_that_may_happen() {
    for is_linked in [MESH, CHAIN] {
        let bounds = Bounds {
            is_linked,
            ..BOUNDS
        };
        holds(&explore(&bounds, setting("MODEL_STATES", 50_000)));
    }
}

#[test]
fn i6_far_walks_with_all_that_may_happen() {
    for is_linked in [MESH, CHAIN] {
        let bounds = Bounds {
            is_linked,
            ..BOUNDS
        };
        let seed = setting("MODEL_SEED", 1) as u64;
        holds(&wander(&bounds, seed, setting("MODEL_WALKS", 3_000), 60));
    }
}
