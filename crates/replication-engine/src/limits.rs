//! Every hard limit in one place. A limit that a user may set is in [`crate::config`]; these may not be set.

use std::time::Duration;

/// Most events that one bulk call into the store applies.
pub const APPLY_EVENTS_MAX: usize = 16_000;

/// Most bytes of events gathered for one bulk call (one read may overshoot it).
pub const APPLY_BYTES_MAX: usize = 16 << 20;

/// Bytes that one read of a stream should bring at the most; the count of the next read follows from the last one's sizes.
pub const READ_BYTES_AIM: usize = 16 << 20;

/// Entries of the first read of a stream, before anything is known of their sizes.
pub const READ_COUNT_FIRST: usize = 16;

/// What an entry of a well-behaved node has beside its payload, at the most: names, key, hash, a full `meta`, and what each
/// value takes in memory.
pub const ENTRY_OVERHEAD_MAX: usize = 128 << 10;

/// Bytes of one reply of entries of a change stream: what a read aims at, and one entry with the largest payload.
pub fn tail_reply_bytes_max(payload_bytes_max: usize) -> usize {
    payload_bytes_max.saturating_add(READ_BYTES_AIM + ENTRY_OVERHEAD_MAX)
}

/// Lives of a stream whose numbers a cursor remembers.
pub const EPOCHS_MAX: usize = 32;

/// Malformed entries kept for inspection, for each peer.
pub const REJECTED_KEPT_MAX: usize = 100;

/// Bytes of one malformed entry that are kept.
pub const REJECTED_BYTES_MAX: usize = 256;

/// Writes from the future that are kept, for the whole node.
pub const QUARANTINE_WRITES_MAX: usize = 10_000;

/// … and their bytes.
pub const QUARANTINE_BYTES_MAX: usize = 16 << 20;

/// Longest question that is read, in bytes.
pub const QUESTION_BYTES_MAX: usize = 1 << 20;

/// Questions read at once.
pub const QUESTIONS_READ: usize = 16;

/// Bytes of one reply of questions.
pub const QUESTIONS_REPLY_BYTES_MAX: usize =
    QUESTIONS_READ * (QUESTION_BYTES_MAX + ENTRY_OVERHEAD_MAX);

/// Longest node id in a question, in bytes.
pub const NODE_ID_BYTES_MAX: usize = 256;

/// Prefixes of one question about summaries: of the longest, so many fit into a question.
pub const ASK_PREFIXES_MAX: usize = 1_000;

/// Prefixes that are summed up at the same time, on either side.
pub const BRANCHES_AT_ONCE: usize = 8;

/// After this long an answer about summaries stops taking more in.
pub const ANSWER_TIME_AIM: Duration = Duration::from_secs(5);

/// Keys of one question about records: of the longest, so many fit into a question.
pub const ASK_KEYS_MAX: usize = 1_000;

/// How often a comparison asks for cells of the peer's sketch: once, as a rule, and for half as many more where they were
/// too few.
pub const ASK_CELLS_TIMES_MAX: usize = 3;

/// Keys that are looked up at once.
pub const LOOK_UP_KEYS_MAX: usize = 1_000;

/// Keys of one question about records that are answered.
pub const ANSWER_KEYS_MAX: usize = 4096;

/// Bytes after which an answer stops taking more in; a single larger record comes alone.
pub const ANSWER_BYTES_AIM: usize = 4 << 20;

/// Bytes of an answer beside its payloads that no answer exceeds.
pub const ANSWER_OVERHEAD_MAX: usize = 4 << 20;

/// Most bytes of an answer to a node that takes payloads of this size.
pub fn answer_bytes_max(payload_bytes_max: usize) -> usize {
    payload_bytes_max.saturating_add(ANSWER_BYTES_AIM + ANSWER_OVERHEAD_MAX)
}

/// Bytes of records held at once for one answer, as long as several of the largest fit.
pub const ANSWER_HELD_MAX: usize = 128 << 20;

/// Rows read at once for an answer about a range.
pub const ANSWER_ROWS_MAX: usize = 4096;

/// Bytes of one part of an answer.
pub const ANSWER_PART_BYTES: usize = 1 << 20;

/// Parts of answers read at once.
pub const PARTS_READ: usize = 8;

/// Bytes of one reply of parts.
pub const PARTS_REPLY_BYTES_MAX: usize = PARTS_READ * (ANSWER_PART_BYTES + ENTRY_OVERHEAD_MAX);

/// Entries that the stream of questions keeps.
pub const QUESTIONS_KEPT: usize = 1_000;

/// Parts of answers that the stream of one asker keeps.
pub const PARTS_KEPT: usize = 2_048;

/// Questions answered at the same time.
pub const ANSWERS_AT_ONCE: usize = 4;

/// Questions that wait for that; more are dropped, and their askers ask again.
pub const QUESTIONS_WAITING_MAX: usize = 64;

/// Nodes that are answered at a time though they are none of our peers: each has a stream of its own for its answers.
pub const ASKERS_MAX: usize = 256;

/// How long the stream of a node's answers stays after the last one: nobody waits for an answer so long ([`ASK_PATIENCE`]).
pub const ANSWERS_KEPT: Duration = Duration::from_secs(60);

/// How long an asker waits for the whole answer.
pub const ASK_PATIENCE: Duration = Duration::from_secs(30);

/// How long a peer may take to connect, and to answer plain commands.
pub const PEER_PATIENCE: Duration = Duration::from_secs(5);

/// Pause before differences are confirmed; up to half of it is added at random.
pub const CONFIRM_PAUSE: Duration = Duration::from_millis(500);

/// Cycles in a row that may end with "still moving" before the trees are compared all the same.
pub const MOVING_CYCLES_MAX: u32 = 3;

/// How often the cold path may be put off because the hot path is catching up, in intervals.
pub const POSTPONED_INTERVALS_MAX: u32 = 5;

/// Leaves that the peer must have more than we for the fill to go by ranges.
pub const BOOTSTRAP_LEAVES_MIN: u64 = 2_000;

/// How long shutdown waits for batches in flight.
pub const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(30);

/// How long a fill waits for one from another peer to end.
pub const FILL_TURN_PATIENCE: Duration = Duration::from_secs(60);
