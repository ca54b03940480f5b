//! Stage 9: the hot path. Read a peer's stream, decode, apply in bulk, move the cursor; in this order.

pub mod cursor;

pub mod cursors;

pub mod pace;

pub mod step;

pub mod rejected;

pub use cursor::{Cursor, Missed};
pub use cursors::{CursorStore, MemoryCursors, SqliteCursors};
pub use rejected::Rejected;
