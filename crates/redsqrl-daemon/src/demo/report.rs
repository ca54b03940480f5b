//! The result: what was checked, what was measured.

use serde::Serialize;

use super::screen::Screen;

/// One thing that must hold.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// What must hold.
    pub name: String,
    /// Whether it does.
    pub ok: bool,
    /// More about it; of a failed check, what was seen.
    pub detail: String,
}

/// Milliseconds from a write until another node shows it.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Lag {
    /// Half of them took at most so long.
    pub p50: f64,
    /// 99 of 100 took at most so long.
    pub p99: f64,
}

impl Lag {
    /// Of these samples, in milliseconds. No samples: zero.
    #[must_use]
    pub fn of(mut samples: Vec<f64>) -> Self {
        samples.sort_by(f64::total_cmp);
        // Nearest rank: the smallest sample that so many per cent do not exceed.
        let rank = |per_cent: usize| {
            let at = (samples.len() * per_cent).div_ceil(100).max(1) - 1;
            round(samples.get(at).copied().unwrap_or_default(), 1)
        };
        Self {
            p50: rank(50),
            p99: rank(99),
        }
    }
}

/// The result of a demo: with `--once`, one line of JSON.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Whether every check held and the demo came to its end.
    pub ok: bool,
    /// Items loaded.
    pub items: usize,
    /// Until the last of them was acknowledged.
    pub load_seconds: f64,
    /// Acknowledged per second.
    pub items_per_second: f64,
    /// From the last acknowledgement until the roots were equal.
    pub load_converge_seconds: f64,
    /// Replication lag under a light load.
    pub lag_ms: Lag,
    /// From the healing of the network until the roots were equal.
    pub converge_seconds: f64,
    /// Keys written on both sides of the cut.
    pub conflicts: usize,
    /// Keys deleted.
    pub deletes: usize,
    /// Writes acknowledged in all.
    pub acknowledged: u64,
    /// Writes under way when the node was killed, of which nobody knows.
    pub unanswered: usize,
    /// Keys of which an acknowledged write is missing, on whichever nodes.
    pub lost: usize,
    /// Deleted keys that are there, on whichever nodes.
    pub resurrected: usize,
    /// Keys with other bytes than they must have, or that nobody wrote, on whichever nodes.
    pub mismatched: usize,
    /// Whether the roots were equal at the end.
    pub roots_equal: bool,
    /// Seconds from the first process to the last check.
    pub seconds: f64,
    /// Everything that was checked.
    pub checks: Vec<Check>,
    /// What ended the demo before its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Report {
    /// Notes a check, and shows it.
    pub fn check(&mut self, screen: &Screen, ok: bool, name: &str, detail: impl Into<String>) {
        let detail = detail.into();
        screen.check(ok, name, &detail);
        self.checks.push(Check {
            name: name.to_string(),
            ok,
            detail,
        });
    }

    /// Nothing more comes: judges.
    pub fn close(&mut self) {
        self.ok = self.error.is_none()
            && !self.checks.is_empty()
            && self.checks.iter().all(|check| check.ok);
    }
}

/// So many digits behind the point.
#[must_use]
pub fn round(number: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (number * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let lag = Lag::of((1..=200).rev().map(f64::from).collect());
        assert_eq!((lag.p50, lag.p99), (100.0, 198.0));
        let lag = Lag::of(vec![7.04]);
        assert_eq!((lag.p50, lag.p99), (7.0, 7.0));
        assert_eq!(Lag::of(Vec::new()).p99, 0.0);
    }

    #[test]
    fn one_failed_check_is_enough() {
        let check = |ok| Check {
            name: String::new(),
            ok,
            detail: String::new(),
        };
        let judged = |checks: Vec<Check>, error: Option<&str>| {
            let mut report = Report {
                checks,
                error: error.map(String::from),
                ..Report::default()
            };
            report.close();
            report.ok
        };
        assert!(judged(vec![check(true)], None));
        assert!(!judged(vec![check(true), check(false)], None));
        assert!(!judged(vec![check(true)], Some("late")));
        assert!(!judged(vec![], None));
    }
}
