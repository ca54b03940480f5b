//! The tasks there are, and which of them are ready.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::task::{Wake, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use sync_engine::env::Task;

use super::Group;

pub(super) struct State {
    pub(super) now: Duration,
    pub(super) rng: fastrand::Rng,
    pub(super) tasks: BTreeMap<u64, Slot>,
    /// In ascending order: in which order they were woken is not always the seed's.
    pub(super) ready: Vec<u64>,
    pub(super) timers: BTreeMap<(Duration, u64), Waker>,
    pub(super) last_id: u64,
    pub(super) alive: BTreeSet<Group>,
    pub(super) polls: u64,
}

pub(super) struct Slot {
    pub(super) group: Group,
    pub(super) name: &'static str,
    /// Absent while it is polled.
    pub(super) task: Option<Task>,
    pub(super) is_queued: bool,
}

pub(super) struct Alarm {
    pub(super) task: u64,
    pub(super) world: Weak<Mutex<State>>,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        if let Some(world) = self.world.upgrade() {
            world.lock().queue(self.task);
        }
    }
}

impl State {
    pub(super) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    pub(super) fn queue(&mut self, task: u64) {
        if let Some(slot) = self.tasks.get_mut(&task)
            && !slot.is_queued
        {
            slot.is_queued = true;
            if let Err(at) = self.ready.binary_search(&task) {
                self.ready.insert(at, task);
            }
        }
    }
}
