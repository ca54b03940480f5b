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

#[test]
fn a_flat_namespace_is_divided() {
    let mut theirs = World::filled(TreeLimits::default(), users(60_000));
    let ours = World::filled(TreeLimits::default(), users(60_000));
    let nodes = theirs.tree.read().node_count();
    assert!((10..200).contains(&nodes), "{nodes} nodes");
    let changed: Vec<_> = (0..60u64)
        .map(|n| {
            (
                Key::from(format!("user{:07}", n * 997)),
                Some(leaf(1 << 30 | n)),
            )
        })
        .collect();
    theirs.put(&changed);
    let cost = check_descent(&ours, &theirs);
    assert!(cost.trips <= 6, "{cost:?}");
    assert!(cost.bytes / 60 < 3_000, "{cost:?}");
    assert_eq!(check_descent(&theirs, &ours).trips, cost.trips);
}

#[test]
fn an_empty_node_is_filled_and_a_rest_not_split_yet_is_answered() {
    let ours = World::new(TreeLimits::default());
    let mut theirs = World::new(TreeLimits::default());
    // No maintenance: all keys are in the root's rest, more than are held at once.
    let changes: Vec<_> = users(40_000)
        .into_iter()
        .map(|(key, leaf)| (key, Some(leaf)))
        .collect();
    theirs.put(&changes);
    let (diff, _) = compare(
        &ours,
        &theirs,
        WalkBudget {
            keys_max: 100_000,
            questions_max: 100_000,
        },
    );
    assert_eq!(diff.behind.len(), 40_000);
    assert!(!diff.truncated);
    let (diff, _) = compare(
        &ours,
        &theirs,
        WalkBudget {
            keys_max: 1_000,
            questions_max: 100_000,
        },
    );
    assert_eq!((diff.behind.len(), diff.truncated), (1_000, true));
    let (diff, cost) = compare(
        &ours,
        &theirs,
        WalkBudget {
            keys_max: 100_000,
            questions_max: 10,
        },
    );
    assert!(diff.truncated && cost.questions == 10);
    let (diff, _) = compare(&theirs, &ours, WalkBudget::default());
    assert_eq!(diff, MerkleDiff::default(), "an empty peer proves nothing");
}

#[test]
fn many_small_families_are_split_by_halves_and_come_to_rest() {
    // 95 next bytes with 50 keys each: no family is large.
    let keys = (0..50u64).flat_map(|n| {
        (b' '..=b'~').map(move |b| (Key::from(format!("{}{n}", b as char)), leaf(n)))
    });
    let mut world = World::filled(TreeLimits::default(), keys.collect());
    assert!(world.tree.read().node_count() < 60);
    world.check();
    // Rewrites make no work.
    let again: Vec<_> = world
        .rows
        .keys()
        .map(|key| (key.clone(), Some(leaf(999))))
        .collect();
    world.put(&again);
    assert_eq!(world.tree.read().next_job(), None);
}

#[test]
fn what_contradicts_itself_is_refused() {
    let world = World::filled(SMALL, users(200));
    let rows: Vec<NodeRow> = world.stored.values().cloned().collect();
    let load = |change: &dyn Fn(&mut Vec<NodeRow>)| {
        let mut rows = rows.clone();
        change(&mut rows);
        Tree::load(rows, 7).map(|tree| tree.seq())
    };
    assert_eq!(load(&|_| ()), Ok(7));
    assert_eq!(load(&|rows| drop(rows.remove(0))), Err(TreeError::NoRoot));
    assert!(matches!(
        load(&|rows| rows.push(rows[1].clone())),
        Err(TreeError::Duplicate(_))
    ));
    assert!(matches!(
        load(&|rows| rows[0].split = false),
        Err(TreeError::Kind(_))
    ));
    assert!(matches!(
        load(&|rows| rows[0].aggregate.count = 3),
        Err(TreeError::Sum(_))
    ));
    let stray = |prefix: &[u8]| NodeRow {
        prefix: prefix.to_vec(),
        ..rows[1].clone()
    };
    assert!(matches!(
        load(&|rows| rows.push(stray(b"use!"))),
        Err(TreeError::Crossing(_))
    ));

    let tree = world.tree.read();
    let absent = leaf(5).digest(b"nobody");
    let change = LeafChange {
        key: b"nobody",
        old: Some(absent),
        new: None,
    };
    let mut gone = Tree::empty();
    assert_eq!(
        gone.plan(&[change]).map(|d| d.seq()),
        Err(TreeError::Sum(Vec::new()))
    );
    let new = LeafChange {
        key: b"nobody",
        old: None,
        new: Some(absent),
    };
    let first = gone.plan(&[new]).unwrap();
    gone.apply(first.clone()).unwrap();
    assert_eq!(
        gone.apply(first),
        Err(TreeError::OutOfTurn { delta: 1, tree: 1 })
    );
    let mut other = SplitBuilder::new(b"");
    other.push(b"nobody", &absent);
    assert_eq!(
        other.finish(&tree).map(|d| d.seq()),
        Err(TreeError::Stale(Vec::new()))
    );
    assert!(matches!(
        tree.plan_fold(b"zz"),
        Err(TreeError::NoSuchNode(_))
    ));
}

#[test]
fn answers_nobody_asked_for_are_refused() {
    let group = |prefix: &[u8]| Summary {
        groups: vec![Group {
            prefix: prefix.to_vec(),
            count: 1,
            hash: [0; 16],
        }],
        leaves: Vec::new(),
    };
    let view = OurView {
        groups: vec![Aggregate::default()],
        leaves: Vec::new(),
    };
    let mut descent = Descent::new(b"uk".to_vec(), WalkBudget::default());
    assert_eq!(
        descent.on_summary(b"uk", &group(b"uk."), &view),
        Err(WalkError::NotAsked)
    );
    for bad in [&b"uk"[..], b"us.", &[b"uk", &[b'x'; 1024][..]].concat()] {
        let mut descent = Descent::new(b"uk".to_vec(), WalkBudget::default());
        assert_eq!(descent.next_questions(9).0, [b"uk".to_vec()]);
        assert_eq!(
            descent.on_summary(b"uk", &group(bad), &view),
            Err(WalkError::Outside)
        );
        assert!(descent.is_done() && descent.finish().truncated);
    }
    let short = ShortLeaf::from(&leaf(1));
    let (groups, leaves) = (Vec::new(), vec![("us.x".into(), short)]);
    let elsewhere = Summary { groups, leaves };
    let (groups, leaves) = (Vec::new(), vec![None]);
    let view_of_one = OurView { groups, leaves };
    let mut other = Descent::new(b"uk".to_vec(), WalkBudget::default());
    assert_eq!(other.next_questions(9).0.len(), 1);
    assert_eq!(
        other.on_summary(b"uk", &elsewhere, &view_of_one),
        Err(WalkError::Outside)
    );
    assert!(other.found().is_empty());
    assert_eq!(descent.next_questions(9).0.len(), 1);
    assert_eq!(
        descent.on_summary(b"uk", &group(b"uk."), &OurView::default()),
        Err(WalkError::View {
            expected: 1,
            got: 0
        })
    );
    let mut descent = Descent::new(b"uk".to_vec(), WalkBudget::default());
    descent.next_questions(9);
    descent.on_silence(b"uk").unwrap();
    assert_eq!(descent.next_questions(9).0, [b"uk".to_vec()]);
    assert!(descent.finish().truncated, "unanswered");
}

#[test]
fn i12_a_peer_that_answers_with_ever_more_groups_fills_no_memory() {
    let budget = WalkBudget {
        keys_max: 10,
        questions_max: 1000,
    };
    let mut descent = Descent::new(Vec::new(), budget);
    let (mut asked, mut open_max) = (0, 0);
    while !descent.is_done() {
        let (questions, _) = descent.next_questions(64);
        asked += questions.len();
        for prefix in questions {
            let groups = (b'!'..=b'~').map(|byte| Group {
                prefix: [&prefix[..], &[byte]].concat(),
                count: 1,
                hash: [0; 16],
            });
            let summary = Summary {
                groups: groups.collect(),
                leaves: Vec::new(),
            };
            let view = OurView {
                groups: vec![Aggregate::default(); summary.groups.len()],
                leaves: Vec::new(),
            };
            descent.on_summary(&prefix, &summary, &view).unwrap();
            open_max = open_max.max(descent.open());
        }
    }
    assert!(asked <= 1000 && open_max <= 1000, "{asked} {open_max}");
    assert!(descent.finish().truncated);
}

#[test]
fn paths_are_a_key_and_a_prefix() {
    let keys = [
        "uk",
        "uk-x",
        "uk.nhs",
        "uk.nhs-old.a",
        "uk.nhs.p.1",
        "uk.nhs.p.2",
        "ukraine.a",
        "us.x",
    ];
    let world = World::filled(
        SMALL,
        keys.iter()
            .zip(1..)
            .map(|(key, n)| (Key::from(*key), leaf(n)))
            .collect(),
    );
    let sum = |wanted: &[&str]| {
        let mut total = Aggregate::default();
        wanted
            .iter()
            .for_each(|key| total.insert(&world.rows[*key].digest(key.as_bytes())));
        total
    };
    let of = |path| wait(path::aggregate(&world.tree, &world, path)).unwrap();
    assert_eq!(
        of("uk"),
        sum(&["uk", "uk.nhs", "uk.nhs-old.a", "uk.nhs.p.1", "uk.nhs.p.2"])
    );
    assert_eq!(of("uk.nhs"), sum(&["uk.nhs", "uk.nhs.p.1", "uk.nhs.p.2"]));
    assert_eq!(of(""), world.tree.read().root());
    let children = |path, limit| wait(path::children(&world.tree, &world, path, limit)).unwrap();
    let names: Vec<String> = children("", 99).into_keys().collect();
    assert_eq!(names, ["uk", "uk-x", "ukraine", "us"]);
    assert_eq!(
        children("uk", 99).into_keys().collect::<Vec<_>>(),
        ["nhs", "nhs-old"]
    );
    assert_eq!(children("uk", 99)["nhs"], of("uk.nhs"));
    assert_eq!(children("", 2).len(), 2);
}

/// In a release build with `--nocapture`, prints the figures for a million keys.
#[test]
fn measured_costs_stay_in_bounds() {
    let count: u64 = if cfg!(debug_assertions) {
        20_000
    } else {
        1_000_000
    };
    let started = std::time::Instant::now();
    let mut theirs = World::filled(TreeLimits::default(), users(count));
    let ours = World::filled(TreeLimits::default(), users(count));
    println!(
        "filled twice: {:?}, {} nodes",
        started.elapsed(),
        ours.tree.read().node_count()
    );
    let digest = leaf(1).digest(b"x");
    let keys: Vec<Key> = (0..10_000u64)
        .map(|n| Key::from(format!("user{:07}", n * 7919 % count)))
        .collect();
    let changes: Vec<_> = keys
        .iter()
        .map(|key| LeafChange {
            key: key.as_bytes(),
            old: None,
            new: Some(digest),
        })
        .collect();
    for batch in [100, 1_000, 10_000] {
        let mut tree = ours.tree.read().clone();
        let started = std::time::Instant::now();
        let delta = tree.plan(&changes[..batch]).unwrap();
        let writes = delta.writes().len();
        tree.apply(delta).unwrap();
        println!(
            "{batch} changes: {:?} each, {writes} node writes",
            started.elapsed() / batch as u32
        );
    }
    for differing in [1, 10, 100, 1_000] {
        let changed: Vec<_> = (0..differing)
            .map(|n: u64| {
                (
                    Key::from(format!("user{:07}", n * 7919 % count)),
                    Some(leaf(1 << 40 | n)),
                )
            })
            .collect();
        theirs.put(&changed);
        let (read, scans) = (
            theirs.rows_read.load(Ordering::Relaxed),
            theirs.scans.load(Ordering::Relaxed),
        );
        let started = std::time::Instant::now();
        let cost = check_descent(&ours, &theirs);
        let rows = theirs.rows_read.load(Ordering::Relaxed) - read;
        let scans = theirs.scans.load(Ordering::Relaxed) - scans;
        println!(
            "{differing} differences: {cost:?}, {} bytes each, answering read {rows} rows in {scans} scans, {:?}",
            cost.bytes as u64 / differing,
            started.elapsed()
        );
        assert!(cost.trips <= 7);
    }
}

#[test]
fn answers_may_be_made_on_any_thread_and_hold_no_lock_while_reading() {
    fn sendable<T: Send>(future: T) -> T {
        future
    }
    let world = World::filled(SMALL, users(30));
    let (tree, archive): (_, &dyn crate::l3::ArchiveStore) = (&world.tree, &world);
    // A guard of the tree's lock cannot be sent: this would not compile if one were held across a read.
    let summary = wait(sendable(read::summarize(
        tree,
        archive,
        b"user",
        Detail::FINEST,
    )));
    wait(sendable(read::our_view(tree, archive, &summary.unwrap()))).unwrap();
    wait(sendable(read::read_rest(tree, archive, b""))).unwrap();
    wait(sendable(path::children(tree, archive, "", 9))).unwrap();
}
