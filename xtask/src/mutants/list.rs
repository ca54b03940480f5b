/// Stands in [`Mutant::replace`] for whether that bug is switched on.
pub(super) const PLANTED: &str = "PLANTED";

/// One bug.
pub(super) struct Mutant {
    /// The mechanism that is taken out, in the words of docs/testing.md.
    pub what: &'static str,
    /// The file, below `crates`.
    pub file: &'static str,
    /// The text that is replaced; it stands there once.
    pub find: &'static str,
    /// What takes its place; without [`PLANTED`] it does what the text did.
    pub replace: &'static str,
}

/// All of them.
pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        what: "the archive takes greater stamps only",
        file: "sync-engine/src/engine/row_plan.rs",
        find: "        decide(old, &self.leaf)\n",
        replace: "        let decided = decide(old, &self.leaf);\n        if PLANTED { Decision::Take } else { decided }\n",
    },
    Mutant {
        what: "tombstones are members of the tree",
        file: "sync-engine/src/engine/row_plan.rs",
        find: "        .filter(|((_, decision), _)| **decision == Decision::Take)\n",
        replace: "        .filter(|((new, decision), _)| **decision == Decision::Take && (new.leaf.hash.is_some() || !PLANTED))\n",
    },
    Mutant {
        what: "a log position is kept until the archive has it",
        file: "sync-engine/src/engine/log_room.rs",
        find: "            self.wal.free_below(floor);",
        replace: "            self.wal.free_below(if PLANTED { floor.max(self.wal.bounds().1) } else { floor });",
    },
    Mutant {
        what: "the log is replayed",
        file: "sync-engine/src/engine/open.rs",
        find: "        core.replay().await?;\n",
        replace: "        if !PLANTED {\n            core.replay().await?;\n        }\n",
    },
    Mutant {
        what: "replay asks the archive what it knows better",
        file: "sync-engine/src/engine/replay.rs",
        find: "Decision::Keep => self.release_positions([at]),",
        replace: "Decision::Keep if PLANTED => self.enter_replayed(stored, at),\n                    Decision::Keep => self.release_positions([at]),",
    },
    Mutant {
        what: "the clock begins above what is stored",
        file: "sync-engine/src/engine/open.rs",
        find: "Clock::new(found.identity.origin(), found.clock_bound)",
        replace: "Clock::new(found.identity.origin(), if PLANTED { Default::default() } else { found.clock_bound })",
    },
    Mutant {
        what: "the log remembers the clock",
        file: "sync-engine/src/engine/replay.rs",
        find: "        self.clock.observe(self.wal.clock_bound());\n",
        replace: "        if !PLANTED {\n            self.clock.observe(self.wal.clock_bound());\n        }\n",
    },
    Mutant {
        what: "a new storage stamps under a new origin",
        file: "sync-engine/src/engine/identity.rs",
        find: "                incarnation: random | 1,\n                fingerprint,",
        replace: "                incarnation: if PLANTED { 0 } else { random | 1 },\n                fingerprint,",
    },
    Mutant {
        what: "what is applied raises the clock",
        file: "sync-engine/src/engine/apply.rs",
        find: "        part.iter().for_each(|stored| self.observe(stored));\n",
        replace: "        if !PLANTED {\n            part.iter().for_each(|stored| self.observe(stored));\n        }\n",
    },
    Mutant {
        what: "what was already stored by a commit of unknown outcome reaches L1",
        file: "sync-engine/src/engine/apply.rs",
        find: "decided.filter(|(_, decision)| **decision != Decision::Keep)",
        replace: "decided.filter(|(_, decision)| **decision == Decision::Take || **decision == Decision::Same && !PLANTED)",
    },
    Mutant {
        what: "what is not stored yet counts among the leaves that are known",
        file: "sync-engine/src/engine/apply.rs",
        find: "entry.stored.is_archived() && entry.due.contains(Due::ARCHIVE)",
        replace: "entry.stored.is_archived() && entry.due.contains(if PLANTED { Due::HOLD } else { Due::ARCHIVE })",
    },
    Mutant {
        what: "what loses in the archive leaves L1",
        file: "sync-engine/src/engine/flush.rs",
        find: "            self.l1.remove_clean(key, stamp);\n",
        replace: "            if !PLANTED {\n                self.l1.remove_clean(key, stamp);\n            }\n",
    },
    Mutant {
        what: "keys whose write missed the cache are stale",
        file: "sync-engine/src/engine/flush.rs",
        find: "        if self.stale.note(keys).is_err() {",
        replace: "        let noted = if PLANTED { 0 } else { usize::MAX };\n        if self.stale.note(keys.into_iter().take(noted)).is_err() {",
    },
    Mutant {
        what: "a crash raises the cache's generation",
        file: "sync-engine/src/engine/generation.rs",
        find: "(kept, false) => kept.wrapping_add(STEP),",
        replace: "(kept, false) => kept.wrapping_add(if PLANTED { 0 } else { STEP }),",
    },
    Mutant {
        what: "generations of another archive are not believed",
        file: "sync-engine/src/engine/generation.rs",
        find: "(0, _) => random & !u64::from(u32::MAX) | STEP,",
        replace: "(0, _) => (if PLANTED { 0 } else { random }) & !u64::from(u32::MAX) | STEP,",
    },
    Mutant {
        what: "another life of the cache's server is not believed",
        file: "sync-engine/src/engine/generation.rs",
        find: "        if !is_first {\n            self.give_up_cache();\n        }\n",
        replace: "        if !is_first && !PLANTED {\n            self.give_up_cache();\n        }\n",
    },
    Mutant {
        what: "the ticket that guards fills",
        file: "sync-engine/src/l1/write.rs",
        find: "                && self.tickets.is_valid(hash, ticket)\n",
        replace: "                && (PLANTED || self.tickets.is_valid(hash, ticket))\n",
    },
    Mutant {
        what: "the cold path runs",
        file: "replication-engine/src/engine/cold_task.rs",
        find: "        while !self.stop.is_given() {\n            match self.peer.take_wanted() {",
        replace: "        while !self.stop.is_given() {\n            if PLANTED {\n                env.sleep(std::time::Duration::from_secs(9999)).await;\n            }\n            match self.peer.take_wanted() {",
    },
    Mutant {
        what: "stamps from the far future wait",
        file: "sync-engine/src/engine/apply.rs",
        find: "} else if stored.stamp().time.ms() > believed_until {",
        replace: "} else if stored.stamp().time.ms() > believed_until && !PLANTED {",
    },
    Mutant {
        what: "a copy of a storage stamps under a new origin",
        file: "sync-engine/src/engine/identity.rs",
        find: "            incarnation: if copied {\n",
        replace: "            incarnation: if copied && !PLANTED {\n",
    },
    Mutant {
        what: "a key enters the filter before its row can be read",
        file: "sync-engine/src/engine/commit.rs",
        find: "            self.filter.insert(write.stored.key());\n",
        replace: "            if !PLANTED {\n                self.filter.insert(write.stored.key());\n            }\n",
    },
    Mutant {
        what: "a commit says how far the clock is",
        file: "sync-engine/src/engine/commit.rs",
        find: "                clock_bound: core.clock.last(),\n",
        replace: "                clock_bound: if PLANTED { Default::default() } else { core.clock.last() },\n",
    },
    Mutant {
        what: "what only the cache keeps stays in the log until the cache has it",
        file: "sync-engine/src/l1/dirty.rs",
        find: "let is_kept = is_archived && cleared",
        replace: "let is_kept = (is_archived || PLANTED) && cleared",
    },
    Mutant {
        what: "a shutdown flushes",
        file: "sync-engine/src/engine/close.rs",
        find: "        if let Err(error) = self.store_the_rest().await {\n",
        replace: "        if !PLANTED\n            && let Err(error) = self.store_the_rest().await\n        {\n",
    },
];
