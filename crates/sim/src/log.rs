//! What happened in a run, line by line, each with its time.

use std::fmt::{Display, Write};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::exec::World;

/// The log of one run, shared.
#[derive(Clone)]
pub struct Log {
    world: World,
    text: Arc<Mutex<String>>,
}

impl Log {
    /// Empty.
    pub fn new(world: &World) -> Self {
        Self {
            world: world.clone(),
            text: Arc::default(),
        }
    }

    /// Adds a line.
    pub fn note(&self, what: impl Display) {
        let at = self.world.now().as_secs_f64();
        // Writing to a string does not fail.
        writeln!(self.text.lock(), "{at:10.4} {what}").ok();
    }

    /// All lines.
    pub fn take(&self) -> String {
        std::mem::take(&mut self.text.lock())
    }
}
