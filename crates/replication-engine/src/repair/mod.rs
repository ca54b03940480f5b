//! Stage 11: the cold path. Compare roots; where they differ, find the keys for which the peer is ahead, by sketches or
//! down the tree; fetch those.
//!
//! Only what the peer *has* counts. What it lacks is its own affair: it pulls. Nothing is ever deleted by absence.

pub mod question;

pub mod schedule;

pub mod step;

pub mod answer;

pub mod asker;

pub mod cycle;

mod find;

pub mod effort;

pub mod bootstrap;
