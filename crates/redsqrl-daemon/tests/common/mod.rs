//! Nodes as processes of their own, in a mesh with real servers.
#![allow(dead_code)] // Each test program uses its part.

pub mod answer;
pub mod http;
pub mod mesh;
pub mod node;
pub mod python;

use std::time::{Duration, Instant};

/// How long anything may take that should take moments.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `look` says `Ok`; fails with what it said last.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let begun = Instant::now();
    loop {
        match look() {
            Ok(seen) => return seen,
            Err(seen) if begun.elapsed() > PATIENCE => {
                panic!("not within {PATIENCE:?}: {what}; {seen}")
            }
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}
