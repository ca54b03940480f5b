//! Stage 11: the cold path. Compare roots; where they differ, go down to the keys for which the peer is ahead; fetch those.
//!
//! Only what the peer *has* counts. What it lacks is its own affair: it pulls. Nothing is ever deleted by absence.

pub mod question;

pub mod schedule;

pub mod step;

pub mod answer;

pub mod asker;

pub mod cycle;

pub mod effort;

pub mod bootstrap;
