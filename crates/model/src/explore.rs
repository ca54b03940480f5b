//! Every state that can be reached, once.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use crate::check::{Broken, always, at_rest};
use crate::mesh::Mesh;
use crate::step::{Bounds, Step, after, steps};

/// What was found.
#[derive(Debug)]
pub struct Explored {
    /// States seen.
    pub states: usize,
    /// Whether there are no others.
    pub is_whole: bool,
    /// The shortest way to a broken promise.
    pub broken: Option<(Broken, Vec<Step>)>,
}

/// Goes through the states, those of few steps first, until `states_max` of them are known or a promise is broken.
pub fn explore(bounds: &Bounds, states_max: usize) -> Explored {
    let first = Mesh::new(bounds.is_linked);
    let mut ways: Ways = HashMap::new();
    let mut rested: HashSet<u64> = HashSet::new();
    ways.insert(print(&first), (0, None));
    let mut open = VecDeque::from([first]);
    while let Some(mesh) = open.pop_front() {
        let from = print(&mesh);
        for step in steps(&mesh, bounds) {
            let next = after(&mesh, step, bounds);
            let to = print(&next);
            if ways.contains_key(&to) {
                continue;
            }
            ways.insert(to, (from, Some(step)));
            let held = always(&next).and_then(|()| match rested.insert(print(&quiet(&next))) {
                true => at_rest(&next, bounds),
                false => Ok(()),
            });
            if let Err(broken) = held {
                let way = way_to(&ways, to);
                return found(ways.len(), false, Some((broken, way)));
            }
            if ways.len() >= states_max {
                return found(ways.len(), false, None);
            }
            open.push_back(next);
        }
    }
    found(ways.len(), true, None)
}

/// Follows `walks` ways of chance, `length` steps each, from `seed` on: far where [`explore`] is near.
pub fn wander(bounds: &Bounds, seed: u64, walks: usize, length: usize) -> Explored {
    let mut chance = seed;
    let mut states = 0;
    for _ in 0..walks {
        let mut mesh = Mesh::new(bounds.is_linked);
        let mut way = Vec::new();
        while way.len() < length && always(&mesh).is_ok() {
            let Some((step, next)) = step_of_chance(&mesh, bounds, &mut chance) else {
                break;
            };
            way.push(step);
            mesh = next;
        }
        states += way.len();
        if let Some(broken) = replay(bounds, &way) {
            let short = shorten(bounds, way);
            let broken = replay(bounds, &short).unwrap_or(broken);
            return found(states, false, Some((broken, short)));
        }
    }
    found(states, false, None)
}

/// A step that changes something; `None`: none was found.
fn step_of_chance(mesh: &Mesh, bounds: &Bounds, chance: &mut u64) -> Option<(Step, Mesh)> {
    let possible = steps(mesh, bounds);
    let mut below = |limit: usize| {
        *chance = next_chance(*chance);
        (*chance >> 33) as usize % limit
    };
    for _ in 0..64 {
        let kind = below(8);
        let of_kind: Vec<&Step> = possible.iter().filter(|step| is_of(step, kind)).collect();
        if of_kind.is_empty() {
            continue;
        }
        let step = *of_kind[below(of_kind.len())];
        let next = after(mesh, step, bounds);
        if next != *mesh {
            return Some((step, next));
        }
    }
    None
}

/// Steps of chance alone are mostly writes that streams bring; a mesh mostly compares.
fn is_of(step: &Step, kind: usize) -> bool {
    match step {
        Step::Compare(..) => kind < 3,
        Step::Advance(_) | Step::Collect(..) => kind == 3,
        Step::Begin(..) | Step::Copy(..) | Step::Finish(_) | Step::Stop(_) => kind == 4,
        Step::Put(..) | Step::Delete(..) => kind == 5,
        Step::Stream(..) | Step::Tick(_) => kind == 6,
        Step::Expel(..) | Step::Wipe => kind == 7,
    }
}

/// What these steps break, those left out that cannot be taken.
pub fn replay(bounds: &Bounds, way: &[Step]) -> Option<Broken> {
    let mut mesh = Mesh::new(bounds.is_linked);
    for step in way {
        if steps(&mesh, bounds).contains(step) {
            mesh = after(&mesh, *step, bounds);
            if let Err(broken) = always(&mesh) {
                return Some(broken);
            }
        }
    }
    at_rest(&mesh, bounds).err()
}

fn shorten(bounds: &Bounds, mut way: Vec<Step>) -> Vec<Step> {
    loop {
        let without = |at: usize| {
            let mut less = way.clone();
            less.remove(at);
            replay(bounds, &less).map(|_| less)
        };
        match (0..way.len()).find_map(without) {
            Some(less) => way = less,
            None => return way,
        }
    }
}

type Ways = HashMap<u64, (u64, Option<Step>)>;

fn found(states: usize, is_whole: bool, broken: Option<(Broken, Vec<Step>)>) -> Explored {
    Explored {
        states,
        is_whole,
        broken,
    }
}

/// 64 bits stand for a state: of ten million states two are taken for one in fewer than one run of a hundred thousand.
fn print(mesh: &Mesh) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(mesh)
}

fn quiet(mesh: &Mesh) -> Mesh {
    let mut quiet = *mesh;
    quiet.nodes.iter_mut().for_each(|node| node.asking = None);
    quiet
}

fn way_to(ways: &Ways, mut at: u64) -> Vec<Step> {
    let mut way = Vec::new();
    while let Some((from, Some(step))) = ways.get(&at) {
        way.push(*step);
        at = *from;
    }
    way.reverse();
    way
}

/// Knuth's linear congruential generator.
fn next_chance(chance: u64) -> u64 {
    chance
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407)
}
