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

/// How long the nodes may take until their roots move no more.
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

/// How the nodes are when nothing moves any more, or after the longest wait.
struct Settled {
    /// Whether the roots are equal, and stay so.
    is_equal: bool,
    /// The roots.
    roots: Vec<String>,
    /// When they became so.
    after: Duration,
    /// What the nodes hold.
    audit: Audit,
}

impl Story<'_> {
    fn check(&mut self, ok: bool, name: &str, detail: impl Into<String>) {
        self.report.check(self.screen, ok, name, detail);
    }

    /// Waits until the roots are equal and everything is as it must be, or long enough.
    async fn settle(&mut self) -> Result<Settled, DemoError> {
        let began = Instant::now();
        let (mut last, mut after) = (Vec::new(), Duration::ZERO);
        loop {
            let roots = match self.mesh.roots_when("equal roots", all_equal).await {
                Ok(roots) => roots,
                Err(DemoError::Late { .. }) => {
                    let (after, audit) = (began.elapsed(), self.mesh.audit().await?);
                    return Ok(Settled {
                        is_equal: false,
                        roots: self.mesh.roots().await?,
                        after,
                        audit,
                    });
                }
                Err(error) => return Err(error),
            };
            if roots != last {
                after = began.elapsed();
                last = roots;
            }
            let audit = self.mesh.audit().await?;
            let is_final = self.mesh.are_steady(&last).await?;
            let is_patient = began.elapsed() < (after + PATIENCE).min(SETTLE_LIMIT);
            if (audit.is_clean() && is_final) || !is_patient {
                return Ok(Settled {
                    is_equal: is_final,
                    roots: last,
                    after,
                    audit,
                });
            }
        }
    }

    /// One row a node: how much it holds, and its root.
    fn show_nodes(&self, roots: &[String], counts: Option<&[usize]>) {
        let rows: Vec<Vec<String>> = NAMES
            .iter()
            .zip(roots)
            .enumerate()
            .map(|(node, (name, root))| {
                let count = counts.and_then(|counts| counts.get(node));
                let count = count.map_or("…".to_string(), |count| grouped(*count as u64));
                vec![(*name).to_string(), count, short(root)]
            })
            .collect();
        self.screen.table(&["node", "items", "root"], &rows);
    }
}
