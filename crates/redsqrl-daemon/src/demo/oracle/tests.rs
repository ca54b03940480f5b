use super::*;

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn put(oracle: &mut Oracle, key: &str, value: &str, node: usize) -> Ticket {
    oracle.begin(key, Some(bytes(value)), node)
}

fn done(oracle: &mut Oracle, key: &str, value: Option<&str>, node: usize) {
    let ticket = oracle.begin(key, value.map(bytes), node);
    oracle.acknowledge(ticket, None);
}

fn stamped(oracle: &mut Oracle, key: &str, value: &str, node: usize, stamp: &str) {
    let ticket = put(oracle, key, value, node);
    oracle.acknowledge(ticket, Some(Stamp::parse(stamp).unwrap()));
}

fn node(items: &[(&str, &str)]) -> HashMap<String, Bytes> {
    items
        .iter()
        .map(|(key, value)| ((*key).to_string(), bytes(value)))
        .collect()
}

fn kinds(oracle: &Oracle, nodes: &[&[(&str, &str)]]) -> Vec<FaultKind> {
    let found: Vec<_> = nodes.iter().map(|items| node(items)).collect();
    oracle
        .judge(&found)
        .faults
        .iter()
        .map(|fault| fault.kind)
        .collect()
}

#[test]
fn the_same_everywhere_is_clean() {
    let mut oracle = Oracle::default();
    done(&mut oracle, "a", Some("1"), 0);
    done(&mut oracle, "a", Some("2"), 0);
    done(&mut oracle, "b", Some("x"), 1);
    done(&mut oracle, "b", None, 1);
    let verdict = oracle.judge(&[node(&[("a", "2")]), node(&[("a", "2")])]);
    assert!(verdict.faults.is_empty(), "{verdict:?}");
    assert_eq!(verdict.checked, 2);
    assert_eq!(oracle.acknowledged(), 4);
}

#[test]
fn each_planted_fault_is_caught() {
    let mut oracle = Oracle::default();
    done(&mut oracle, "a", Some("old"), 0);
    done(&mut oracle, "a", Some("new"), 0);
    done(&mut oracle, "gone", Some("x"), 1);
    done(&mut oracle, "gone", None, 1);
    let good: &[(&str, &str)] = &[("a", "new")];
    assert_eq!(kinds(&oracle, &[good, good, good]), []);
    assert_eq!(kinds(&oracle, &[good, &[], good]), [FaultKind::Lost]);
    assert_eq!(
        kinds(&oracle, &[good, good, &[("a", "old")]]),
        [FaultKind::Mismatched]
    );
    assert_eq!(
        kinds(&oracle, &[good, good, &[("a", "neW")]]),
        [FaultKind::Mismatched]
    );
    assert_eq!(
        kinds(&oracle, &[good, &[("a", "new"), ("gone", "x")], good]),
        [FaultKind::Resurrected]
    );
    assert_eq!(
        kinds(&oracle, &[&[("a", "new"), ("b", "")], good, good]),
        [FaultKind::Stranger]
    );
    // A fault common to all nodes is one all the same.
    assert_eq!(
        kinds(&oracle, &[&[], &[]]),
        [FaultKind::Lost, FaultKind::Lost]
    );
}

#[test]
fn of_a_conflict_the_greatest_stamp_remains() {
    let mut oracle = Oracle::default();
    stamped(&mut oracle, "k", "c", 2, "100.1@0a");
    stamped(&mut oracle, "k", "a", 0, "100.0@ff");
    assert_eq!(kinds(&oracle, &[&[("k", "c")], &[("k", "c")]]), []);
    assert_eq!(
        kinds(&oracle, &[&[("k", "a")], &[("k", "a")]]),
        [FaultKind::Mismatched; 2]
    );
}

#[test]
fn writes_that_nothing_orders_may_both_win_but_everywhere_the_same() {
    let mut oracle = Oracle::default();
    done(&mut oracle, "k", Some("a"), 0);
    done(&mut oracle, "k", None, 2);
    assert_eq!(kinds(&oracle, &[&[("k", "a")], &[("k", "a")]]), []);
    assert_eq!(kinds(&oracle, &[&[], &[]]), []);
    assert_eq!(
        kinds(&oracle, &[&[("k", "a")], &[]]),
        [FaultKind::Disagreement]
    );
}

#[test]
fn a_barrier_orders_the_nodes() {
    let mut oracle = Oracle::default();
    done(&mut oracle, "k", Some("a"), 0);
    oracle.barrier();
    done(&mut oracle, "k", None, 2);
    assert_eq!(kinds(&oracle, &[&[], &[]]), []);
    assert_eq!(kinds(&oracle, &[&[("k", "a")]]), [FaultKind::Resurrected]);
}

#[test]
fn a_barrier_does_not_order_what_was_still_under_way() {
    let mut oracle = Oracle::default();
    let slow = put(&mut oracle, "k", "slow", 0);
    oracle.barrier();
    done(&mut oracle, "k", Some("other"), 1);
    oracle.acknowledge(slow, None);
    assert_eq!(kinds(&oracle, &[&[("k", "slow")]]), []);
    assert_eq!(kinds(&oracle, &[&[("k", "other")]]), []);
}

#[test]
fn what_was_never_answered_may_have_happened_or_not() {
    let mut oracle = Oracle::default();
    put(&mut oracle, "k", "x", 1);
    assert_eq!(kinds(&oracle, &[&[], &[]]), []);
    assert_eq!(kinds(&oracle, &[&[("k", "x")], &[("k", "x")]]), []);
    assert_eq!(
        kinds(&oracle, &[&[("k", "x")], &[]]),
        [FaultKind::Disagreement]
    );
    assert_eq!(kinds(&oracle, &[&[("k", "y")]]), [FaultKind::Mismatched]);
    done(&mut oracle, "k", Some("z"), 1);
    assert_eq!(kinds(&oracle, &[&[("k", "z")]]), []);
    assert_eq!(kinds(&oracle, &[&[]]), [FaultKind::Lost]);
}

mod generated {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// With every stamp known, exactly the greatest one may be read.
        #[test]
        fn stamps_alone_decide(writes in proptest::collection::vec((0usize..3, any::<bool>(), 0u64..50), 1..12)) {
            let mut oracle = Oracle::default();
            for (at, (node, is_put, ms)) in writes.iter().enumerate() {
                let ticket = oracle.begin("k", is_put.then(|| bytes(&at.to_string())), *node);
                let stamp = Stamp::parse(&format!("{ms}.{at}@{node}")).unwrap();
                oracle.acknowledge(ticket, Some(stamp));
            }
            let (at, winner) = writes.iter().enumerate().max_by_key(|(at, write)| (write.2, *at)).unwrap();
            let expected = winner.1.then(|| bytes(&at.to_string()));
            prop_assert_eq!(oracle.allowed_of("k"), vec![expected.as_ref()]);
        }

        /// Something may always be read, and the last acknowledged write of one node is in the running if no stamp says otherwise.
        #[test]
        fn there_is_always_an_answer(writes in proptest::collection::vec((0usize..3, any::<bool>(), any::<bool>()), 1..12)) {
            let mut oracle = Oracle::default();
            for (at, (node, acknowledged, barrier)) in writes.iter().enumerate() {
                let ticket = oracle.begin("k", Some(bytes(&at.to_string())), *node);
                if *acknowledged { oracle.acknowledge(ticket, None); }
                if *barrier { oracle.barrier(); }
            }
            let last = writes.len() - 1;
            let last = bytes(&last.to_string());
            prop_assert!(oracle.allowed_of("k").contains(&Some(&last)));
        }
    }
}
