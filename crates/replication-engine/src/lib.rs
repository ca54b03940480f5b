//! replication-engine
