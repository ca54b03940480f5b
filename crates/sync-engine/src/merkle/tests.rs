//! What must hold of the tree, the answers and the comparison together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use proptest::prelude::*;

use super::codec::{decode_question, decode_summary, encode_question, encode_summary};
use super::node::{Aggregate, NodeRow};
use super::testing::{SMALL, World, wait};
use super::*;
use crate::item::Leaf;
use crate::item::decide::{Decision, decide};
use crate::item::hash::ContentHash;
use crate::item::key::Key;
use crate::item::stamp::{HlcTime, Origin, Stamp};

mod hostile;

mod shapes;

/// Figures of a comparison.
#[derive(Debug, Default)]
struct Cost {
    trips: usize,
    questions: usize,
    bytes: usize,
}

/// All that `ours` finds by asking `theirs`, over the wire format.
fn compare(ours: &World, theirs: &World, budget: WalkBudget) -> (MerkleDiff, Cost) {
    let mut descent = Descent::new(Vec::new(), budget);
    let mut cost = Cost::default();
    while !descent.is_done() {
        let (questions, detail) = descent.next_questions(1024);
        if questions.is_empty() {
            break;
        }
        let wire = encode_question(&questions, detail);
        let (questions, detail) = decode_question(&wire).unwrap();
        cost.trips += 1;
        cost.questions += questions.len();
        cost.bytes += wire.len();
        for prefix in questions {
            let wire = encode_summary(&prefix, &theirs.answer(&prefix, detail));
            assert!(wire.len() < 512 << 10, "answers are bounded");
            cost.bytes += wire.len();
            let summary = decode_summary(&prefix, &wire).unwrap();
            let view = wait(read::our_view(&ours.tree, ours, &summary)).unwrap();
            descent.on_summary(&prefix, &summary, &view).unwrap();
        }
    }
    (descent.finish(), cost)
}

fn check_descent(ours: &World, theirs: &World) -> Cost {
    let (diff, cost) = compare(ours, theirs, WalkBudget::default());
    assert!(!diff.truncated);
    let newer = theirs
        .rows
        .iter()
        .filter(|(key, leaf)| decide(ours.rows.get(*key), leaf) == Decision::Take);
    let expected: BTreeSet<&Key> = newer.map(|(key, _)| key).collect();
    let found: BTreeSet<&Key> = diff.behind.iter().map(|(key, _)| key).collect();
    assert_eq!(found, expected);
    assert_eq!(diff.behind.len(), expected.len(), "each key once");
    cost
}

fn leaf(n: u64) -> Leaf {
    Leaf {
        stamp: Stamp {
            time: HlcTime::from_ms(1_790_000_000_000 + n as i64),
            origin: Origin::of_node("uk.node.london-1", n % 3),
        },
        hash: (!n.is_multiple_of(7)).then(|| ContentHash::of(&n.to_be_bytes())),
    }
}

fn key() -> impl Strategy<Value = Key> {
    prop_oneof![
        "[ab]{1,6}",
        "uk\\.nhs\\.[a-d]{1,4}",
        "[äöü東京]{1,4}",
        "(a|b){1,3}\\.(x|y){0,3}",
        // Long, alike up to their last bytes.
        (0..40u32).prop_map(|n| format!("{}{n}", "deep.".repeat(200))),
    ]
    .prop_map(Key::from)
}

#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<(Key, Option<Leaf>)>),
    Jobs(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let leaf = prop::option::weighted(0.7, any::<u32>().prop_map(|n| leaf(n.into())));
    prop_oneof![
        3 => prop::collection::vec((key(), leaf), 1..40).prop_map(Step::Commit),
        1 => (0..6usize).prop_map(Step::Jobs),
    ]
}

fn rows(max: usize) -> impl Strategy<Value = BTreeMap<Key, Leaf>> {
    prop::collection::btree_map(key(), (0..40u64).prop_map(leaf), 0..max)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn incremental_tree_is_the_tree_rebuilt(steps in prop::collection::vec(step(), 1..14)) {
        let mut world = World::new(SMALL);
        for step in steps {
            match step {
                Step::Commit(changes) => world.put(&changes),
                Step::Jobs(jobs) => (0..jobs).for_each(|_| { world.job(); }),
            }
            world.check();
        }
        world.maintain();
        world.check();
        let keys: Vec<Key> = world.rows.keys().cloned().collect();
        for chunk in keys.chunks(5) {
            world.put(&chunk.iter().map(|key| (key.clone(), None)).collect::<Vec<_>>());
            world.maintain();
        }
        world.check();
        prop_assert_eq!(world.tree.read().node_count(), 1, "nodes go with their keys");
    }

    #[test]
    fn every_prefix_is_the_sum_of_its_keys(rows in rows(120), maintained: bool, others in prop::collection::vec(key(), 0..10)) {
        let mut world = World::new(SMALL);
        world.put(&rows.into_iter().map(|(key, leaf)| (key, Some(leaf))).collect::<Vec<_>>());
        if maintained {
            world.maintain();
        }
        let keys: Vec<Key> = world.rows.keys().chain(&others).cloned().collect();
        for key in keys {
            let cuts = (0..=key.len()).filter(|cut| *cut < 16 || key.len() - *cut < 4);
            for cut in cuts {
                let prefix = &key.as_bytes()[..cut];
                prop_assert_eq!(wait(read::aggregate(&world.tree, &world, prefix)).unwrap(), world.brute(prefix));
            }
        }
    }

    #[test]
    fn an_answer_tells_each_key_once(rows in rows(150), groups_max in 0..40u16, leaves_max in 0..20u16, cuts in prop::collection::vec((key(), 0..9usize), 1..8)) {
        let world = World::filled(SMALL, rows);
        let detail = Detail { groups_max, leaves_max };
        world.check_partition(b"", &world.answer(b"", detail));
        for (key, cut) in cuts {
            let prefix = key.as_bytes().get(..cut).unwrap_or(key.as_bytes());
            let answer = world.answer(prefix, detail);
            world.check_partition(prefix, &answer);
            let listed: Vec<(Key, Leaf)> = world.rows.iter().filter(|(key, _)| key.as_bytes().starts_with(prefix)).map(|(k, l)| (k.clone(), *l)).collect();
            world.check_partition(prefix, &read::summarize_leaves(listed, detail));
        }
    }

    #[test]
    fn a_descent_finds_exactly_what_we_lack(ours in rows(150), theirs in rows(150), other_limits: bool) {
        let ours = World::filled(SMALL, ours);
        let limits = if other_limits { TreeLimits { split_above: 24, fold_below: 12 } } else { SMALL };
        let theirs = World::filled(limits, theirs);
        check_descent(&ours, &theirs);
        check_descent(&theirs, &ours);
        let cost = check_descent(&ours, &ours);
        prop_assert_eq!(cost.trips, 1);
    }
}

fn users(count: u64) -> BTreeMap<Key, Leaf> {
    (0..count)
        .map(|n| (Key::from(format!("user{n:07}")), leaf(n)))
        .collect()
}
