//! How streams look on the wire.

use super::{Entry, StreamInfo};
use crate::resp::{Proto, Reply};

/// One entry: its id, then its fields and values in one flat array.
pub fn entry(reply: &mut Reply<'_>, entry: &Entry) {
    reply.array(2);
    reply.bulk(entry.id.to_string().as_bytes());
    reply.array(entry.fields.len().saturating_mul(2));
    for (field, value) in entry.fields.iter() {
        reply.value(field);
        reply.value(value);
    }
}

/// The head of an answer to XREAD with entries of so many streams, in version 3 a map; no array
/// if there is no news. After it the caller writes for each stream its head and its entries.
pub fn read_head(reply: &mut Reply<'_>, streams: usize) {
    match (streams, reply.proto()) {
        (0, _) => reply.null_array(),
        (_, Proto::Resp2) => reply.array(streams),
        (_, Proto::Resp3) => reply.map(streams),
    }
}

/// The head of one stream's part of an answer to XREAD: its key, and how many entries follow.
pub fn stream_head(reply: &mut Reply<'_>, key: &[u8], entries: usize) {
    if reply.proto() == Proto::Resp2 {
        reply.array(2);
    }
    reply.bulk(key);
    reply.array(entries);
}

/// XINFO STREAM. There are no consumer groups and no radix tree here, but clients expect the
/// fields.
pub fn info(reply: &mut Reply<'_>, info: &StreamInfo) {
    reply.map(10);
    number(reply, "length", info.length as u64);
    number(reply, "radix-tree-keys", 1);
    number(reply, "radix-tree-nodes", 2);
    id(reply, "last-generated-id", info.last_generated_id);
    id(reply, "max-deleted-entry-id", info.max_deleted_entry_id);
    number(reply, "entries-added", info.entries_added);
    id(
        reply,
        "recorded-first-entry-id",
        info.recorded_first_entry_id,
    );
    number(reply, "groups", 0);
    edge(reply, "first-entry", info.first_entry.as_ref());
    edge(reply, "last-entry", info.last_entry.as_ref());
}

fn number(reply: &mut Reply<'_>, name: &str, value: u64) {
    reply.bulk(name.as_bytes());
    reply.integer(i64::try_from(value).unwrap_or(i64::MAX));
}

fn id(reply: &mut Reply<'_>, name: &str, id: super::StreamId) {
    reply.bulk(name.as_bytes());
    reply.bulk(id.to_string().as_bytes());
}

fn edge(reply: &mut Reply<'_>, name: &str, found: Option<&Entry>) {
    reply.bulk(name.as_bytes());
    match found {
        Some(found) => entry(reply, found),
        None => reply.null(),
    }
}
