//! Parts of an answer, in whatever order and however often they come.
#![no_main]

use libfuzzer_sys::fuzz_target;
use redsqrl_fuzz::Feed;
use replication_engine::mailbox::parts::{Assembly, question};
use sync_engine::cdc::stream_id::StreamId;

const BYTES_MAX: usize = 1 << 10;

fuzz_target!(|data: &[u8]| {
    let mut feed = Feed(data);
    let mut assembly = Assembly::new(1, BYTES_MAX);
    while !feed.0.is_empty() {
        let mut part = Feed(feed.short());
        let fields = part.fields(&["id", "by", "part", "n", "data", "from", "q"]);
        question(StreamId::MIN, &fields);
        match assembly.add(&fields) {
            Ok(Some(whole)) => assert!(whole.len() <= BYTES_MAX),
            Ok(None) => {}
            Err(_) => break,
        }
    }
});
