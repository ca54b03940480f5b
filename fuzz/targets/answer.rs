//! What a peer answers, and the records in it.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use replication_engine::repair::question::{
    Answer, decode_answer, decode_record, encode_answer, encode_record, place_behind,
};

const BYTES_MAX: usize = 1 << 20;

fn check(records: &[Bytes]) {
    place_behind(records);
    for record in records {
        if let Ok(stored) = decode_record(record.clone()) {
            let again = decode_record(encode_record(&stored)).expect("as it was");
            assert_eq!(again, stored);
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let bytes = Bytes::copy_from_slice(data);
    check(std::slice::from_ref(&bytes));
    let Ok(answer) = decode_answer(bytes, BYTES_MAX) else {
        return;
    };
    if let Answer::Records { records, .. } | Answer::Range { records, .. } = &answer {
        check(records);
    }
    let again = decode_answer(encode_answer(&answer), BYTES_MAX);
    assert_eq!(again.ok().as_ref(), Some(&answer));
});
