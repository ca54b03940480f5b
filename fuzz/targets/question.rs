//! What any node may ask.
#![no_main]

use libfuzzer_sys::fuzz_target;
use replication_engine::repair::question::{decode_question, encode_question};

fuzz_target!(|data: &[u8]| {
    if let Ok(question) = decode_question(data) {
        let again = decode_question(&encode_question(&question));
        assert_eq!(again.ok().as_ref(), Some(&question));
    }
});
