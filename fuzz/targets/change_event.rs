//! An entry of a peer's change stream.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use redsqrl_fuzz::Feed;
use sync_engine::ContentHash;
use sync_engine::cdc::codec::{Limits, decode, encode};

const LIMITS: Limits = Limits {
    payload_bytes_max: 1 << 20,
};
const NAMES: [&str; 5] = ["op", "key", "hash", "data", "meta"];

fuzz_target!(|data: &[u8]| {
    let mut feed = Feed(data);
    let is_honest = feed.byte() & 1 == 1;
    let mut fields = feed.fields(&NAMES);
    if is_honest {
        // No chance finds a SHA-256: it is put in, so that what lies behind it is come upon.
        let payload = fields.iter().find(|(name, _)| name == "data");
        let hash = payload.map(|(_, data)| {
            let plain = zstd::bulk::decompress(data, LIMITS.payload_bytes_max);
            ContentHash::of(plain.as_deref().unwrap_or(data)).to_string()
        });
        if let Some(hash) = hash {
            fields.insert(0, (Bytes::from_static(b"hash"), hash.into()));
        }
    }
    if let Ok(event) = decode(&fields, LIMITS) {
        let size = event.stored.item().map_or(0, |item| item.content.len());
        assert!(size <= LIMITS.payload_bytes_max);
        let again = decode(&encode(&event.stored, event.epoch, event.seq), LIMITS);
        let again = again.expect("what was read can be written and read");
        assert_eq!(
            (again.stored, again.epoch, again.seq),
            (event.stored, event.epoch, event.seq)
        );
    }
});
