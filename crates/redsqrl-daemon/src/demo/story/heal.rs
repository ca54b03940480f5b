//! Chapter 5: the network heals; everything is compared with what it must be.

use super::super::error::DemoError;
use super::super::oracle::FaultKind;
use super::super::report::round;
use super::super::screen::grouped;
use super::super::{NAMES, NODES};
use super::Story;
use super::split::Conflict;

const LOST: &[FaultKind] = &[FaultKind::Lost];
const RESURRECTED: &[FaultKind] = &[FaultKind::Resurrected];
const MISMATCHED: &[FaultKind] = &[
    FaultKind::Mismatched,
    FaultKind::Disagreement,
    FaultKind::Stranger,
];

/// Conflicts shown to people.
const SHOWN: usize = 4;

pub(super) async fn heal(story: &mut Story<'_>, conflicts: &[Conflict]) -> Result<(), DemoError> {
    story.screen.chapter("5. The network heals");
    let waiting = story
        .screen
        .wait("waiting for equal roots, then reading everything from every node");
    story.mesh.heal();
    let settled = story.settle().await?;
    drop(waiting);
    let (seconds, audit) = (settled.after.as_secs_f64(), &settled.audit);
    story.show_nodes(&settled.roots, Some(&audit.counts));
    story.report.converge_seconds = round(seconds, 3);
    story.report.roots_equal = settled.is_equal;
    let detail = format!("{seconds:.2} s after the network healed");
    story.check(settled.is_equal, "all three roots equal", detail);
    check_winners(story, conflicts).await?;
    let verdict = &audit.verdict;
    let acknowledged = story.mesh.oracle().lock().acknowledged();
    let [lost, resurrected, mismatched] =
        [LOST, RESURRECTED, MISMATCHED].map(|kinds| verdict.count(kinds));
    story.report.acknowledged = acknowledged;
    story.report.lost = story.report.lost.max(lost);
    story.report.resurrected = resurrected;
    story.report.mismatched = mismatched;
    let deletes = story.report.deletes;
    let outcomes = [
        (
            "no acknowledged write is missing",
            LOST,
            format!("{} acknowledged", grouped(acknowledged)),
        ),
        (
            "no deleted key came back",
            RESURRECTED,
            format!("{deletes} deleted"),
        ),
        (
            "every key the same everywhere, byte for byte, and nothing else is there",
            MISMATCHED,
            format!("{} keys on {NODES} nodes", grouped(verdict.checked as u64)),
        ),
    ];
    for (name, kinds, good) in outcomes {
        let detail = match verdict.count(kinds) {
            0 => good,
            count => format!("{count}: {}", verdict.shown(kinds)),
        };
        story.check(verdict.count(kinds) == 0, name, detail);
    }
    let unlisted = if audit.unlisted == 0 {
        String::new()
    } else {
        format!("{} are not", audit.unlisted)
    };
    story.check(
        audit.unlisted == 0,
        "everything that can be read is listed",
        unlisted,
    );
    Ok(())
}

/// That every node holds, under each contested key, the write with the greatest stamp.
async fn check_winners(story: &mut Story<'_>, conflicts: &[Conflict]) -> Result<(), DemoError> {
    let clients = story.mesh.clients();
    let mut wrong = Vec::new();
    let mut rows = Vec::new();
    for conflict in conflicts {
        let winner = conflict.writes.iter().max_by_key(|(_, stamp)| *stamp);
        for (client, name) in clients.iter().zip(NAMES) {
            if client.stamp_of(&conflict.key).await? != winner.map(|(_, stamp)| *stamp) {
                wrong.push(format!("{} on {name}", conflict.key));
            }
        }
        let name = |node: usize| NAMES.get(node).copied().unwrap_or("?");
        let writers: Vec<&str> = conflict
            .writes
            .iter()
            .map(|(node, _)| name(*node))
            .collect();
        let winner = winner.map_or("?", |(node, _)| name(*node));
        rows.push(vec![
            conflict.key.clone(),
            writers.join(", "),
            winner.to_string(),
        ]);
    }
    rows.truncate(SHOWN);
    story
        .screen
        .table(&["key", "written on", "winner everywhere"], &rows);
    let detail = match wrong.first() {
        None => format!("{} conflicts on {NODES} nodes", conflicts.len()),
        Some(first) => format!("{} are not, such as {first}", wrong.len()),
    };
    story.check(
        wrong.is_empty(),
        "the winner of each conflict is the write with the greatest stamp",
        detail,
    );
    Ok(())
}
