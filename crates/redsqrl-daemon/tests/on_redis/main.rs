//! Nodes with a Redis and an SQL database each, as processes of their own: the mesh of such nodes, of embedded ones and
//! of both kinds keeps the same promises.
#![allow(clippy::disallowed_methods, reason = "tests live in real time")]

#[path = "../common/mod.rs"]
mod common;

mod absence;
mod bytes;
mod crash;
mod join;
mod redis_lost;
mod same_story;
