//! What a peer says of a prefix of its keys, and the comparison that goes on from it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use redsqrl_fuzz::Feed;
use sync_engine::merkle::codec::{
    decode_question, decode_summary, encode_question, encode_summary,
};

fuzz_target!(|data: &[u8]| {
    if let Ok((prefixes, detail)) = decode_question(data) {
        let again = decode_question(&encode_question(&prefixes, detail));
        assert_eq!(again.ok(), Some((prefixes, detail)));
    }
    let mut feed = Feed(data);
    let asked = feed.short();
    if let Ok(summary) = decode_summary(asked, feed.0) {
        let again = decode_summary(asked, &encode_summary(asked, &summary));
        assert_eq!(again.ok().as_ref(), Some(&summary));
    }
});
