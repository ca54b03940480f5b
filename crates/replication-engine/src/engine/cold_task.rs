//! The cold path of one peer: when it is due, compare; when the peer has everything and we have nothing, fill.

use std::sync::Arc;

use super::peer::{Peer, Wanted};
use super::stop::Stop;
use crate::config::Settings;
use crate::error::RepairError;
use crate::limits::{FILL_TURN_PATIENCE, answer_bytes_max};
use crate::repair::asker::Asker;
use crate::repair::cycle::{Cycle, Outcome};
use crate::repair::effort::Effort;
use crate::repair::schedule::{Due, Schedule};
use crate::repair::step::Fill;

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
                    let found = self.compare(schedule.moving(), is_forced, effort).await;
                    let is_fruitful = self.peer.memory.lock().items_repaired > before;
                    let ended = effort.after(&found, is_fruitful);
                    self.note(found);
                    schedule.on_end(ended, env.monotonic(), env.random());
                }
            }
        }
    }

    /// Keeps how a comparison ended.
    fn note(&self, found: Result<Outcome, RepairError>) {
        let peer = &self.peer;
        if matches!(found, Err(RepairError::Stopped)) {
            return;
        }
        let now_ms = peer.node.env.now_ms();
        let mut memory = peer.memory.lock();
        memory.last_cold_at_ms = Some(now_ms);
        match &found {
            Ok(outcome) => {
                memory.cold_cycles += 1;
                if outcome.is_in_sync() {
                    memory.in_sync_at_ms = Some(now_ms);
                }
                peer.metrics.cycles.increment(1);
                tracing::debug!(peer = %peer.config.node_id, %outcome, "compared with a peer");
            }
            Err(error) => {
                memory.last_error = Some(error.to_string());
                tracing::warn!(peer = %peer.config.node_id, %error, "could not compare with a peer");
            }
        }
        memory.last_cold = Some(found.map_err(|error| error.to_string()));
    }

    /// Compares; fills where that is due.
    async fn compare(
        &self,
        moving: u32,
        is_forced: bool,
        effort: Effort,
    ) -> Result<Outcome, RepairError> {
        let (id, cursors) = (&self.peer.config.node_id, &self.peer.node.cursors);
        let is_fill_begun = cursors.fill(id).await?.is_some();
        let cycle = self.cycle(effort, effort.fill(is_fill_begun));
        let outcome = cycle.run(moving, is_forced).await?;
        if outcome == Outcome::FillDue {
            return self.fill(&cycle, moving).await;
        }
        if cycle.filling == Fill::UnderWay {
            cursors.save_fill(id, None).await?;
        }
        Ok(outcome)
    }

    fn cycle(&self, effort: Effort, filling: Fill) -> Cycle<'_> {
        let (peer, node) = (&*self.peer, &self.peer.node);
        Cycle {
            asker: Asker {
                remote: &*peer.remote,
                answer_bytes_max: answer_bytes_max(node.store.payload_bytes_max()),
                stop: &self.stop,
            },
            store: &*node.store,
            env: &node.env,
            items_max: self.settings.cold_path.max_items_per_cycle << effort.doublings(),
            is_continued: effort.is_continued(),
            filling,
            relay: node.relay,
            sink: peer,
        }
    }

    async fn fill(&self, cycle: &Cycle<'_>, moving: u32) -> Result<Outcome, RepairError> {
        let (peer, node) = (&*self.peer, &self.peer.node);
        let id = &peer.config.node_id;
        // One fill at a time saves taking the same records twice; a slow peer must not keep the others out for that.
        let turn = sync_engine::env::timeout(&*node.env, FILL_TURN_PATIENCE, node.fill_turn.lock());
        let _turn = self.stop.unless(turn).await.ok_or(RepairError::Stopped)?;
        // Another peer may have filled us while we waited for the turn.
        let again = cycle.run(moving, true).await?;
        if again != Outcome::FillDue {
            return Ok(again);
        }
        peer.memory.lock().fill_items = Some(0);
        let filled = cycle.fill(id, &*node.cursors, peer).await;
        peer.memory.lock().fill_items = None;
        if matches!(filled, Err(RepairError::FillStuck { .. })) {
            node.cursors.save_fill(id, None).await?;
        }
        filled.map(|()| Outcome::FillDue)
    }
}
