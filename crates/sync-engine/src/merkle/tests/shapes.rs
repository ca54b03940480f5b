//! Name spaces of certain shapes, and what they cost.

use super::*;

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
