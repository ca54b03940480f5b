//! The Redis-protocol port of a real engine, through real sockets.
#![allow(clippy::disallowed_methods, reason = "tests live in real time")]

#[path = "../common/python.rs"]
mod python;

mod commands;
mod expiry;
mod hostile;
mod login;
mod node;
mod outage;
mod programs;
mod streams;
