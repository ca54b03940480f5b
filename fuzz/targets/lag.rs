//! How far behind a node is, of what its peer says of its stream's end.
#![no_main]

use libfuzzer_sys::fuzz_target;
use redsqrl_fuzz::Feed;
use replication_engine::peer::{Entry, StreamState};
use replication_engine::tail::Cursor;
use replication_engine::tail::step::{events_behind, lag_ms, place_of_newest};
use sync_engine::cdc::codec::Limits;
use sync_engine::cdc::stream_id::StreamId;

fuzz_target!(|data: &[u8]| {
    let mut feed = Feed(data);
    let id = StreamId {
        ms: feed.number(),
        seq: feed.number(),
    };
    let now = feed.number() as i64;
    lag_ms(id, now);
    let text = String::from_utf8_lossy(feed.short()).into_owned();
    let fields = feed.fields(&["op", "key", "hash", "data", "meta"]);
    let state = StreamState {
        newest: Some(Entry { id, fields }),
    };
    let limits = Limits {
        payload_bytes_max: 1 << 16,
    };
    let newest = place_of_newest(&state, limits);
    let mut cursor = Cursor::from_end("s", state.last_id(), newest);
    for (epoch, seq) in Cursor::parse_epochs(&text).unwrap_or_default() {
        cursor.pass(id, epoch, seq);
    }
    events_behind(&cursor, newest);
    let (resumed, _) = Cursor::resume(Some(cursor), "s", id, newest);
    assert!(resumed.at <= id);
});
