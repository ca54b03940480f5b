//! redsqrl-daemon

pub mod resp;
