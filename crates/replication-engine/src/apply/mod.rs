//! Stage 10: take or leave. The store decides by stamps; here is the trait by which it is reached, and where writes from
//! the future wait.

pub mod local;

pub mod quarantine;

pub use local::{AbsentStore, SyncEngineRef};
pub use quarantine::Quarantine;
