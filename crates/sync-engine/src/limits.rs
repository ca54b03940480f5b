//! Every hard limit in one place. A limit that a user may set is in [`crate::config`]; these may not be set.

/// Longest key, in bytes of UTF-8.
pub const KEY_BYTES_MAX: usize = 1024;

/// Longest `state` tag, in bytes of UTF-8.
pub const STATE_BYTES_MAX: usize = 256;

/// Longest of the free-text fields (`batch_id`, `trace_parent`, `trace_state`, `home_instance_id`), in bytes.
pub const FIELD_BYTES_MAX: usize = 1024;

/// Fixed part of a record's envelope that no record exceeds, in bytes: header, key, state and free-text fields.
pub const ENVELOPE_OVERHEAD_MAX: usize = 8 * 1024;

/// Largest payload that may be configured, in bytes (1 GiB): lengths in the envelope are 32 bits.
pub const PAYLOAD_BYTES_CEILING: usize = 1 << 30;

/// Rows of a subtree above which the Merkle tree materializes its children.
pub const TREE_SPLIT_ABOVE: u64 = 4096;

/// Rows of a split subtree below which the Merkle tree folds its children back.
pub const TREE_FOLD_BELOW: u64 = 1024;

/// Most groups that one answer about a subtree lists.
pub const TREE_GROUPS_MAX: usize = 256;

/// A group of at most this many rows is answered as a list of keys.
pub const TREE_LEAVES_MAX: usize = 64;

/// Most records one commit to the archive carries.
pub const COMMIT_RECORDS_MAX: usize = 16_384;

/// Most content bytes one commit to the archive carries (a single larger record goes alone).
pub const COMMIT_BYTES_MAX: usize = 32 << 20;
