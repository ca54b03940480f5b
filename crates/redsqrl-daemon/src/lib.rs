//! redsqrl-daemon
