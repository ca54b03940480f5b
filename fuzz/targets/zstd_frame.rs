//! A compressed payload, which may say and hold anything: bombs among it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sync_engine::cdc::compress::decompress;

const BYTES_MAX: usize = 1 << 20;

fuzz_target!(|data: &[u8]| {
    if let Ok(plain) = decompress(data, BYTES_MAX) {
        assert!(plain.len() <= BYTES_MAX);
    }
    // And a bomb of it: as many times the same as fits a frame of some kilobytes.
    if data.len() > 64 || data.first() != Some(&0) || data.last() != Some(&0) {
        return;
    }
    let bomb = data.repeat((4 << 20) / data.len());
    if let Ok(frame) = zstd::bulk::compress(&bomb, 1) {
        assert!(decompress(&frame, BYTES_MAX).is_err() || bomb.len() <= BYTES_MAX);
    }
});
