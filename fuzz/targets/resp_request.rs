//! What a client of the Redis protocol sends, in pieces of any size.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use redsqrl_daemon::resp::command::decode;
use redsqrl_daemon::resp::{Limits, Parser};
use redsqrl_fuzz::Feed;

const PAYLOAD_BYTES_MAX: usize = 1 << 16;

fuzz_target!(|data: &[u8]| {
    let mut feed = Feed(data);
    let step = usize::from(feed.byte()).max(1);
    let limits = Limits::for_payload(PAYLOAD_BYTES_MAX);
    let (mut parser, mut buf) = (Parser::new(), BytesMut::new());
    let mut commands = Vec::new();
    for piece in feed.0.chunks(step) {
        buf.extend_from_slice(piece);
        loop {
            match parser.parse_batch(&mut buf, &limits, &mut commands) {
                Ok(0) => break,
                Ok(_) => {}
                Err(_) => return,
            }
            for command in commands.drain(..) {
                drop(decode(command));
            }
        }
        // What it waits for is bounded before it has come.
        assert!(parser.missing(buf.len()) <= PAYLOAD_BYTES_MAX + (64 << 10));
    }
});
