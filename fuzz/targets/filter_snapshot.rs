//! The filter's file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sync_engine::filter::Filter;
use sync_engine::merkle::node::NodeHash;

fuzz_target!(|data: &[u8]| {
    let root = NodeHash([0; 32]);
    drop(Filter::restore(data, root, 0, 1 << 20));
    // With the head and the sum that it wants, so that what lies between is come upon.
    let mut bytes = [&b"RSQF\x01"[..], &[0; 40], data].concat();
    let sum = crc32c::crc32c(&bytes);
    bytes.extend(sum.to_be_bytes());
    drop(Filter::restore(&bytes, root, 0, 1 << 20));
});
