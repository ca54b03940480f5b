//! A record as the log, Redis and answers of peers hold it.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use sync_engine::item::codec::{decode, encode, peek_key};

fn check(bytes: &Bytes) {
    peek_key(bytes);
    if let Ok(stored) = decode(bytes.clone()) {
        let mut out = Vec::new();
        encode(&stored, &mut out);
        let again = decode(out.into()).expect("what was read can be written and read");
        assert_eq!(again, stored);
    }
}

fuzz_target!(|data: &[u8]| {
    check(&Bytes::copy_from_slice(data));
    let mut bytes = data.to_vec();
    // With the right sum over it, so that what lies behind the sum is come upon.
    if let (Some(rest), Some(flags)) = (bytes.get(8..), bytes.get(2..4)) {
        let flags = u32::from(u16::from_be_bytes([flags[0], flags[1]]));
        let sum = crc32c::crc32c(rest) ^ flags;
        bytes[4..8].copy_from_slice(&sum.to_be_bytes());
        check(&bytes.into());
    }
});
