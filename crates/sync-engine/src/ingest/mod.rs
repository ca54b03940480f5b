//! Stage 1: admit or refuse.

pub mod pressure;

pub mod admit;
