//! The id of an entry, and the numbers that a cursor's file keeps.
#![no_main]

use libfuzzer_sys::fuzz_target;
use replication_engine::tail::Cursor;
use sync_engine::cdc::stream_id::StreamId;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(id) = text.parse::<StreamId>() {
        assert_eq!(id.to_string().parse(), Ok(id));
    }
    if let Some(epochs) = Cursor::parse_epochs(text) {
        let mut cursor = Cursor::from_end("s", StreamId::MIN, None);
        for (epoch, seq) in &epochs {
            cursor.pass(StreamId::MIN, *epoch, *seq);
        }
        assert!(Cursor::parse_epochs(&cursor.epochs_text()).is_some());
    }
});
