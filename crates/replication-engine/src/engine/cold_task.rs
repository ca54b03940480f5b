//! The cold path of one peer: when it is due, compare; when the peer has everything and we have nothing, fill.

use std::sync::Arc;

use super::peer::{Peer, Wanted};
use super::stop::Stop;
use crate::config::Settings;
use crate::error::RepairError;
use crate::limits::{FILL_TURN_PATIENCE, answer_bytes_max};
use crate::repair::asker::Asker;
use crate::repair::cycle::{Cycle, Outcome};
use crate::repair::schedule::{Due, Ended, Schedule};

/// How often the budget of a comparison is doubled because what fits into it cannot be taken.
const FRUITLESS_MAX: u32 = 8;

/// What earlier comparisons mean for the next one.
#[derive(Clone, Copy, Default)]
struct Effort {
    /// How many in a row found more than their budget and could take nothing of it.
    fruitless: u32,
    /// Whether the last one ran out of budget while it took things.
    is_continued: bool,
}

impl Effort {
    fn after(&mut self, ended: Ended, is_fruitful: bool) -> Ended {
        self.is_continued = ended == Ended::Partial && is_fruitful;
        match (ended, is_fruitful) {
            // What was found cannot be taken: at once again would be for ever. The next one looks further.
            (Ended::Partial, false) => {
                self.fruitless = (self.fruitless + 1).min(FRUITLESS_MAX);
                Ended::Whole
            }
            (Ended::Whole, _) => {
                self.fruitless = 0;
                Ended::Whole
            }
            (ended, _) => ended,
        }
    }
}

pub(super) struct ColdTask {
    pub(super) peer: Arc<Peer>,
    pub(super) settings: Arc<Settings>,
    pub(super) stop: Stop,
}

impl ColdTask {
    /// Until the engine stops.
    pub(super) async fn run(self) {
        let env = self.peer.node.env.clone();
        let mut effort = Effort::default();
        let mut schedule = Schedule::new(&self.settings.cold_path, env.monotonic());
        while !self.stop.is_given() {
            match self.peer.take_wanted() {
                Some(Wanted::Missed) => schedule.trigger(env.monotonic()),
                Some(Wanted::Now) => schedule.trigger_now(env.monotonic()),
                None => {}
            }
            if !self.peer.link.lock().is_up() {
                // Its coming up is a trigger.
                self.stop.unless(self.peer.wanted()).await;
                continue;
            }
            let is_hot_behind = self.peer.memory.lock().is_catching_up;
            match schedule.due(env.monotonic(), is_hot_behind) {
                Due::In(pause) => {
                    let woken = std::pin::pin!(self.peer.wanted());
                    let either = futures_util::future::select(env.sleep(pause), woken);
                    self.stop.unless(either).await;
                }
                Due::Now { is_forced } => {
                    let before = self.peer.memory.lock().items_repaired;
                    let ended = self.compare(schedule.moving(), is_forced, effort).await;
                    let is_fruitful = self.peer.memory.lock().items_repaired > before;
                    let ended = effort.after(ended, is_fruitful);
                    schedule.on_end(ended, env.monotonic(), env.random());
                }
            }
        }
    }

    async fn compare(&self, moving: u32, is_forced: bool, effort: Effort) -> Ended {
        let peer = &self.peer;
        let result = self.compare_or_fill(moving, is_forced, effort).await;
        if matches!(result, Err(RepairError::Stopped)) {
            return Ended::Failed;
        }
        let now_ms = peer.node.env.now_ms();
        let mut memory = peer.memory.lock();
        memory.last_cold_at_ms = Some(now_ms);
        let ended = match &result {
            Ok(Outcome::Moving) => Ended::Moving,
            Ok(
                Outcome::FillDue
                | Outcome::Compared {
                    is_truncated: true, ..
                },
            ) => Ended::Partial,
            Ok(Outcome::InSync | Outcome::Compared { .. }) => {
                memory.in_sync_at_ms = Some(now_ms);
                Ended::Whole
            }
            Err(_) => Ended::Failed,
        };
        match &result {
            Ok(outcome) => {
                memory.cold_cycles += 1;
                peer.metrics.cycles.increment(1);
                tracing::debug!(peer = %peer.config.node_id, ?outcome, "compared with a peer");
            }
            Err(error) => {
                memory.last_error = Some(error.to_string());
                tracing::warn!(peer = %peer.config.node_id, %error, "could not compare with a peer");
            }
        }
        memory.last_cold = Some(result.map_err(|error| error.to_string()));
        ended
    }

    async fn compare_or_fill(
        &self,
        moving: u32,
        is_forced: bool,
        effort: Effort,
    ) -> Result<Outcome, RepairError> {
        let (peer, node) = (&*self.peer, &self.peer.node);
        let cycle = Cycle {
            asker: Asker {
                remote: &*peer.remote,
                answer_bytes_max: answer_bytes_max(node.store.payload_bytes_max()),
                stop: &self.stop,
            },
            store: &*node.store,
            env: &node.env,
            items_max: self.settings.cold_path.max_items_per_cycle << effort.fruitless,
            is_continued: effort.is_continued,
            relay: node.relay,
            sink: peer,
        };
        let id = &peer.config.node_id;
        let is_filling = node.cursors.fill(id).await?.is_some();
        let outcome = cycle.run(moving, is_forced, is_filling).await?;
        if outcome != Outcome::FillDue {
            if is_filling {
                node.cursors.save_fill(id, None).await?;
            }
            return Ok(outcome);
        }
        // One fill at a time saves taking the same records twice; a slow peer must not keep the others out for that.
        let turn = sync_engine::env::timeout(&*node.env, FILL_TURN_PATIENCE, node.fill_turn.lock());
        let _turn = self.stop.unless(turn).await.ok_or(RepairError::Stopped)?;
        // Another peer may have filled us while we waited for the turn.
        let again = cycle.run(moving, true, is_filling).await?;
        if again != Outcome::FillDue {
            return Ok(again);
        }
        peer.memory.lock().fill_items = Some(0);
        let filled = cycle.fill(id, &*node.cursors, peer).await;
        peer.memory.lock().fill_items = None;
        filled.map(|()| Outcome::FillDue)
    }
}
