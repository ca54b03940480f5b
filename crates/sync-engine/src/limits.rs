//! Every hard limit in one place. A limit that a user may set is in [`crate::config`]; these may not be set.

/// Longest key, in bytes of UTF-8.
pub const KEY_BYTES_MAX: usize = 1024;

/// Longest `state` tag, in bytes of UTF-8.
pub const STATE_BYTES_MAX: usize = 256;

/// Longest of the free-text fields (`batch_id`, `trace_parent`, `trace_state`, `home_instance_id`), in bytes.
pub const FIELD_BYTES_MAX: usize = 1024;

/// Fixed part of a record's envelope that no record exceeds, in bytes: header, key, state and free-text fields.
pub const ENVELOPE_OVERHEAD_MAX: usize = 8 * 1024;

/// Bytes of a reply to a plain command: ids, counts, names of keys, what a server says of itself.
pub const PLAIN_REPLY_BYTES_MAX: usize = 1 << 20;

/// Largest payload that may be configured, in bytes (512 MiB): SQLite holds no value of 1,000,000,000 bytes or more.
pub const PAYLOAD_BYTES_CEILING: usize = 512 << 20;

/// Rows of a subtree above which the Merkle tree materializes its children.
pub const TREE_SPLIT_ABOVE: u64 = 4096;

/// A node of the Merkle tree takes a child in when the rows outside its other children are fewer than this together with
/// the child's. At most half of [`TREE_SPLIT_ABOVE`], so that what was split is not folded at once.
pub const TREE_FOLD_BELOW: u64 = 1024;

/// Most groups that one answer about a subtree lists.
pub const TREE_GROUPS_MAX: usize = 256;

/// A group of at most this many rows is answered as a list of keys.
pub const TREE_LEAVES_MAX: usize = 64;

/// The log holds at most this many bytes for each byte of `l1_max_bytes`, counted as L1 counts them, from the oldest record
/// that is needed on. What is needed is at most half of L1 and what waits to be published; the rest is for records that
/// were written over and lie behind an older one.
pub const LOG_BYTES_PER_L1_BYTE: usize = 4;

/// Most records one commit to the archive carries.
pub const COMMIT_RECORDS_MAX: usize = 16_384;

/// Most content bytes one commit to the archive carries (a single larger record goes alone).
pub const COMMIT_BYTES_MAX: usize = 32 << 20;

/// Rows that one flush may find to be refused by the archive before it leaves the rest of its batch for the next one.
pub const REFUSED_AT_ONCE_MAX: usize = 8;

/// Rows of one part of a peer's writes, or of one sweep of expired items, that are found to be refused one by one. Past it
/// the archive as a whole is at fault.
pub const REFUSED_ALONE_MAX: usize = 32;

/// Refused rows that are tried again at once.
pub const REFUSED_AGAIN_MAX: usize = 32;

/// Refused rows that the health names.
pub const REFUSED_SHOWN_MAX: usize = 16;

/// Expired rows whose removal is refused that are left alone for a while; with so many, all others are too.
pub const UNSWEPT_MAX: usize = 4_000;

/// How long they are.
pub const UNSWEPT_PAUSE: std::time::Duration = std::time::Duration::from_secs(600);

/// How long a write waits for room before it is refused.
pub const WRITE_PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

/// How long a caller of `Ack::Stored` waits for the archive.
pub const STORED_PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// How long `shutdown` goes on trying to store what is left.
pub const SHUTDOWN_PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// Most keys for which the cache is remembered to be stale; past it the whole cache is given up.
pub const STALE_KEYS_MAX: usize = 100_000;

/// Most changes that wait to be published, and most bytes of them; past it the stream begins a new epoch.
pub const BACKLOG_CHANGES_MAX: usize = 100_000;

/// See [`BACKLOG_CHANGES_MAX`].
pub const BACKLOG_BYTES_MAX: usize = 64 << 20;

/// Most changes published at once.
pub const PUBLISH_CHANGES_MAX: usize = 2_000;

/// Most bytes published at once (a single larger change goes alone).
pub const PUBLISH_BYTES_MAX: usize = 4 << 20;

/// Tombstones removed in one commit: other writes to the archive wait meanwhile.
pub const COLLECT_ROWS: usize = 1_000;

/// Rows read at once while the archive is scanned.
pub const SCAN_ROWS: usize = 1_000;

/// Bytes read at once while the archive is scanned (a single larger row comes alone).
pub const SCAN_BYTES: usize = 8 << 20;

/// Most memory the filter of L3's keys takes; past it the filter is no longer trusted.
pub const FILTER_BYTES_MAX: usize = 256 << 20;

/// Most rows of which a sketch is made: more take long to scan.
pub const SKETCH_ROWS_MAX: u64 = 16 << 20;
