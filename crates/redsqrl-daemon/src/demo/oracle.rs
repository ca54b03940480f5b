//! What the mesh must hold at the end, reckoned from the clients' side alone.
//!
//! It knows nothing of the engine: only which writes were tried, which were acknowledged, with which stamp where the
//! answer named one, and which came surely before which. From that follows, for each key, what may be read; every
//! other reading is a fault.
//!
//! The rule: a write is out of the running only when an *acknowledged* write is surely newer. A write whose outcome
//! nobody knows (its connection died) may have happened or not.

mod stamp;

mod verdict;

use std::collections::HashMap;

use bytes::Bytes;

pub use stamp::Stamp;
pub use verdict::{Fault, FaultKind, Verdict};

/// One try to write.
#[derive(Debug)]
struct Attempt {
    node: usize,
    /// `None`: a delete.
    value: Option<Bytes>,
    began: u64,
    acknowledged: Option<u64>,
    stamp: Option<Stamp>,
    /// The node said that there was nothing to do.
    withdrawn: bool,
}

/// Names a try, to say later how it went.
#[derive(Clone, Copy, Debug)]
pub struct Ticket {
    key: usize,
    attempt: usize,
}

/// Everything that was tried, and how it went.
#[derive(Debug, Default)]
pub struct Oracle {
    keys: Vec<(String, Vec<Attempt>)>,
    by_name: HashMap<String, usize>,
    tick: u64,
    barriers: Vec<u64>,
    acknowledged: u64,
}

impl Oracle {
    /// A write of `value` (`None`: a delete) is about to be sent to a node.
    pub fn begin(&mut self, key: &str, value: Option<Bytes>, node: usize) -> Ticket {
        let next = self.keys.len();
        let at = *self.by_name.entry(key.to_string()).or_insert(next);
        if at == next {
            self.keys.push((key.to_string(), Vec::new()));
        }
        self.tick += 1;
        let began = self.tick;
        let attempts = self.keys.get_mut(at).map(|(_, attempts)| attempts);
        let attempt = attempts.map_or(0, |attempts| {
            attempts.push(Attempt {
                node,
                value,
                began,
                acknowledged: None,
                stamp: None,
                withdrawn: false,
            });
            attempts.len() - 1
        });
        Ticket { key: at, attempt }
    }

    /// The node has acknowledged it.
    pub fn acknowledge(&mut self, ticket: Ticket, stamp: Option<Stamp>) {
        self.tick += 1;
        let tick = self.tick;
        let attempts = self.keys.get_mut(ticket.key).map(|(_, attempts)| attempts);
        if let Some(attempt) = attempts.and_then(|attempts| attempts.get_mut(ticket.attempt)) {
            attempt.acknowledged = Some(tick);
            attempt.stamp = stamp;
            self.acknowledged += 1;
        }
    }

    /// The node answered that it wrote nothing: a delete of what is not there.
    pub fn withdraw(&mut self, ticket: Ticket) {
        let attempts = self.keys.get_mut(ticket.key).map(|(_, attempts)| attempts);
        if let Some(attempt) = attempts.and_then(|attempts| attempts.get_mut(ticket.attempt)) {
            attempt.withdrawn = true;
        }
    }

    /// Every key that was ever touched.
    #[must_use]
    pub fn touched(&self) -> Vec<String> {
        self.keys.iter().map(|(key, _)| key.clone()).collect()
    }

    /// What was acknowledged until now is older than what begins from now on, on whichever nodes. The caller vouches
    /// for it: because every node has shown what it holds, or because all clocks are one and time has passed.
    pub fn barrier(&mut self) {
        self.tick += 1;
        self.barriers.push(self.tick);
    }

    /// How many writes were acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// What may be read under the key; `None` in it: nothing. Empty: the key was never written.
    #[must_use]
    pub fn allowed_of(&self, key: &str) -> Vec<Option<&Bytes>> {
        self.attempts(key)
            .map_or(Vec::new(), |attempts| self.allowed(attempts))
    }

    fn attempts(&self, key: &str) -> Option<&[Attempt]> {
        let (_, attempts) = self.keys.get(*self.by_name.get(key)?)?;
        Some(attempts)
    }

    fn allowed<'a>(&self, attempts: &'a [Attempt]) -> Vec<Option<&'a Bytes>> {
        let acknowledged = || {
            attempts
                .iter()
                .filter(|attempt| attempt.acknowledged.is_some())
        };
        let running = |attempt: &&Attempt| {
            !attempt.withdrawn && !acknowledged().any(|other| self.surely_newer(other, attempt))
        };
        let mut allowed: Vec<_> = attempts
            .iter()
            .filter(running)
            .map(|attempt| attempt.value.as_ref())
            .collect();
        if acknowledged().next().is_none() {
            allowed.push(None);
        }
        allowed
    }

    fn surely_newer(&self, newer: &Attempt, older: &Attempt) -> bool {
        if let (Some(newer), Some(older)) = (newer.stamp, older.stamp) {
            return newer > older;
        }
        // One whose outcome is unknown may still be on its way.
        let Some(done) = older.acknowledged else {
            return false;
        };
        let next_barrier = self.barriers.partition_point(|barrier| *barrier < done);
        let parted = self
            .barriers
            .get(next_barrier)
            .is_some_and(|barrier| *barrier < newer.began);
        done < newer.began && (newer.node == older.node || parted)
    }

    /// Compares what each node holds with what it may hold: every key ever touched, and every key found.
    #[must_use]
    pub fn judge(&self, found: &[HashMap<String, Bytes>]) -> Verdict {
        let mut verdict = Verdict::default();
        for (key, attempts) in &self.keys {
            verdict.checked += 1;
            let allowed = self.allowed(attempts);
            let readings: Vec<Option<&Bytes>> = found.iter().map(|node| node.get(key)).collect();
            let faults = readings.iter().enumerate().filter_map(|(node, reading)| {
                let kind = fault_of(*reading, &allowed)?;
                Some(Fault {
                    key: key.clone(),
                    node,
                    kind,
                })
            });
            let before = verdict.faults.len();
            verdict.faults.extend(faults);
            if verdict.faults.len() == before
                && readings.windows(2).any(|pair| pair.first() != pair.last())
            {
                verdict.faults.push(Fault {
                    key: key.clone(),
                    node: 0,
                    kind: FaultKind::Disagreement,
                });
            }
        }
        for (node, keys) in found.iter().enumerate() {
            let strangers = keys.keys().filter(|key| !self.by_name.contains_key(*key));
            verdict.faults.extend(strangers.map(|key| Fault {
                key: key.clone(),
                node,
                kind: FaultKind::Stranger,
            }));
        }
        verdict
    }
}

fn fault_of(reading: Option<&Bytes>, allowed: &[Option<&Bytes>]) -> Option<FaultKind> {
    if allowed.contains(&reading) {
        return None;
    }
    Some(match reading {
        None => FaultKind::Lost,
        Some(_) if allowed.iter().all(Option::is_none) => FaultKind::Resurrected,
        Some(_) => FaultKind::Mismatched,
    })
}

#[cfg(test)]
#[path = "oracle/tests.rs"]
mod tests;
