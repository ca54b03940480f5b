//! Nodes and answers that cannot be.

use super::*;

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
