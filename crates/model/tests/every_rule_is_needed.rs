//! A rule taken out breaks a promise: for each one way on which it does, and on which nothing breaks with the rule.

use model::Flaw;
use model::check::Broken;
use model::explore::replay;
use model::step::Bounds;
use model::step::Step::{self, *};

mod common;

use common::{BOUNDS, CHAIN, MESH};

#[track_caller]
fn breaks(flaw: Flaw, is_linked: fn(usize, usize) -> bool, way: &[Step]) -> Broken {
    let sound = Bounds {
        is_linked,
        ..BOUNDS
    };
    assert_eq!(replay(&sound, way), None, "with the rule");
    let flawed = Bounds { flaw, ..sound };
    replay(&flawed, way).expect("without the rule a promise is broken")
}

/// The second node is given up, a value that all have is deleted, and the delete is collected.
fn deleted_without(expelled: usize) -> Vec<Step> {
    let (a, b) = ((expelled + 1) % 3, (expelled + 2) % 3);
    let mut way = vec![
        Put(a, 0),
        Compare(b, a),
        Compare(expelled, a),
        Expel(a, expelled),
    ];
    way.extend([Compare(b, a), Compare(a, b), Delete(a, 0), Tick(b)]);
    for _ in 0..3 {
        way.extend([Compare(b, a), Compare(a, b)]);
    }
    way.extend([Advance(a), Advance(b), Collect(a, 0), Collect(b, 0)]);
    way
}

#[test]
fn tombstones_wait_for_the_watermark() {
    let way = [
        Put(2, 0),
        Delete(2, 0),
        Stream(0, 0),
        Collect(2, 0),
        Compare(2, 0),
    ];
    let broken = breaks(Flaw::CollectWithoutWatermark, MESH, &way);
    println!("{broken:?}");
}

#[test]
fn nothing_is_taken_from_whom_one_has_given_up() {
    let mut way = deleted_without(2);
    way.push(Compare(0, 2));
    let broken = breaks(Flaw::MergeFromExpelled, MESH, &way);
    assert_eq!(broken, Broken::CameBack { node: 0, key: 0 });
}

#[test]
fn who_was_given_up_lets_go_of_what_was_collected_meanwhile() {
    let broken = breaks(Flaw::JoinKeepsAll, MESH, &deleted_without(2));
    println!("{broken:?}");
}

#[test]
fn who_was_given_up_begins_anew() {
    let broken = breaks(Flaw::NoRejoin, MESH, &deleted_without(2));
    println!("{broken:?}");
}

#[test]
fn what_nobody_can_have_seen_is_written_again() {
    let way = [Expel(0, 1), Put(1, 0)];
    let broken = breaks(Flaw::NoRescue, MESH, &way);
    assert_eq!(broken, Broken::Lost { key: 0 });
}

#[test]
fn what_somebody_may_have_seen_is_not_written_again() {
    let way = [
        Begin(0, 1),
        Put(1, 0),
        Copy(0, 0),
        Expel(0, 1),
        Delete(0, 0),
        Begin(2, 0),
        Finish(2),
        Compare(0, 2),
        Compare(2, 0),
        Advance(2),
        Collect(2, 0),
    ];
    println!("{:?}", breaks(Flaw::RescueAll, MESH, &way));
}

#[test]
fn nothing_is_taken_from_whom_has_not_joined() {
    let way = [
        Delete(2, 0),
        Put(1, 1),
        Compare(0, 1),
        Delete(2, 1),
        Expel(1, 0),
        Compare(2, 1),
        Compare(1, 2),
        Compare(2, 1),
        Compare(1, 2),
        Advance(1),
        Collect(1, 1),
        Compare(0, 2),
        Compare(1, 0),
    ];
    println!("{:?}", breaks(Flaw::MergeFromUnjoined, MESH, &way));
}

/// A delete that all three have merged, collected by the first.
fn collected_by_the_first() -> Vec<Step> {
    let mut way = vec![
        Put(1, 0),
        Compare(0, 1),
        Compare(2, 1),
        Delete(1, 0),
        Tick(0),
        Tick(2),
    ];
    for _ in 0..3 {
        for (node, peer) in [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)] {
            way.push(Compare(node, peer));
        }
    }
    way.extend([Advance(0), Collect(0, 0)]);
    way
}

#[test]
fn what_was_collected_is_not_pulled_back() {
    let mut way = collected_by_the_first();
    way.push(Compare(0, 1));
    let broken = breaks(Flaw::PullBack, MESH, &way);
    assert_eq!(broken, Broken::PulledBack { node: 0, key: 0 });
}

#[test]
fn streams_bring_nothing_below_the_level() {
    let mut way = collected_by_the_first();
    way.push(Stream(0, 0));
    let broken = breaks(Flaw::StreamBelowLevel, MESH, &way);
    assert_eq!(broken, Broken::CameBack { node: 0, key: 0 });
}

#[test]
fn the_second_round_is_waited_for() {
    let way = [
        Put(2, 0),
        Compare(1, 2),
        Wipe,
        Compare(0, 1),
        Delete(2, 0),
        Compare(1, 2),
    ];
    let broken = breaks(Flaw::OneRound, CHAIN, &way);
    assert_eq!(broken, Broken::Lost { key: 0 });
}

#[test]
fn the_ledger_is_read_first() {
    let way = [
        Begin(0, 1),
        Expel(2, 1),
        Copy(0, 0),
        Put(1, 0),
        Put(2, 1),
        Finish(0),
        Compare(0, 2),
        Compare(2, 0),
    ];
    let broken = breaks(Flaw::LedgerReadLate, MESH, &way);
    assert_eq!(broken, Broken::Lost { key: 0 });
}

#[test]
fn a_minority_does_not_go_on_alone() {
    let way = [
        Delete(0, 0),
        Compare(2, 1),
        Delete(1, 0),
        Put(0, 0),
        Stream(2, 2),
        Delete(2, 0),
        Tick(1),
        Expel(1, 0),
        Expel(1, 2),
    ];
    let broken = breaks(Flaw::ExpelAlone, CHAIN, &way);
    assert_eq!(broken, Broken::CameBack { node: 2, key: 0 });
}
