//! The one place where the tiers meet.

pub mod state;

pub use state::EngineState;
