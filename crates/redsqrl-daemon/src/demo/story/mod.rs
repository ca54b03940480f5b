//! What happens, chapter by chapter. Each chapter does something, measures it, and checks a promise.

mod crash;

mod heal;

mod lag;

mod load;

mod split;

use std::time::{Duration, Instant};

use super::NAMES;
use super::data::Items;
use super::error::DemoError;
use super::mesh::{Audit, Mesh, all_equal, short};
use super::report::Report;
use super::screen::{Screen, grouped};

/// Node A: never cut off from B, never killed.
const A: usize = 0;

/// Node B: killed in the middle of writing.
const B: usize = 1;

/// Node C: cut off.
const C: usize = 2;

/// How long the nodes may take until what they hold is what it must be.
const SETTLE_LIMIT: Duration = Duration::from_secs(120);

/// How long equal nodes may go on to hold something else than they must.
const PATIENCE: Duration = Duration::from_secs(10);

/// What all chapters need.
struct Story<'a> {
    mesh: &'a mut Mesh,
    items: &'a Items,
    screen: &'a Screen,
    report: &'a mut Report,
}

/// Tells the whole story.
///
/// # Errors
/// What kept it from its end. A promise that does not hold is no error, but a failed check in the report.
pub async fn tell(
    mesh: &mut Mesh,
    items: &Items,
    screen: &Screen,
    report: &mut Report,
) -> Result<(), DemoError> {
    let mut story = Story {
        mesh,
        items,
        screen,
        report,
    };
    load::load(&mut story).await?;
    lag::measure(&mut story).await?;
    let conflicts = split::split(&mut story).await?;
    crash::crash(&mut story).await?;
    heal::heal(&mut story, &conflicts).await
}

impl Story<'_> {
    fn check(&mut self, ok: bool, name: &str, detail: impl Into<String>) {
        self.report.check(self.screen, ok, name, detail);
    }

    /// Waits until the roots are equal and everything is as it must be; says how long the roots took. What is still
    /// wrong a while after they moved for the last time is in the audit.
    async fn settle(&mut self) -> Result<(Duration, Audit), DemoError> {
        let began = Instant::now();
        let (mut last, mut equal_after) = (Vec::new(), Duration::ZERO);
        loop {
            self.mesh.roots_when("equal roots", all_equal).await?;
            let roots = self.mesh.roots().await?;
            if roots != last {
                equal_after = began.elapsed();
                last = roots;
            }
            let audit = self.mesh.audit().await?;
            // What was acknowledged and not yet stored is in no root: a root that moved was not the last one.
            let moved = self.mesh.roots().await? != last;
            let patient =
                began.elapsed() < equal_after + PATIENCE && began.elapsed() < SETTLE_LIMIT;
            if (audit.is_clean() && !moved) || !patient {
                return Ok((equal_after, audit));
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// One row a node: how much it holds, and its root.
    async fn show_nodes(&mut self, counts: Option<&[usize]>) -> Result<(), DemoError> {
        let roots = self.mesh.roots().await?;
        let rows: Vec<Vec<String>> = NAMES
            .iter()
            .zip(&roots)
            .enumerate()
            .map(|(node, (name, root))| {
                let count = counts.and_then(|counts| counts.get(node));
                let count = count.map_or("…".to_string(), |count| grouped(*count as u64));
                vec![(*name).to_string(), count, short(root)]
            })
            .collect();
        self.screen.table(&["node", "items", "root"], &rows);
        Ok(())
    }
}
