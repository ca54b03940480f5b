use super::*;
use crate::resp::streams::{AddId, IfMissing, Keep, Read, ReadFrom};

/// Each line and the reply of a Redis 7.0 to it.
const REFUSALS: &[(&str, &str)] = &[
    (
        "xadd s bad a b",
        "ERR Invalid stream ID specified as stream command argument",
    ),
    (
        "xadd s * a",
        "ERR wrong number of arguments for 'xadd' command",
    ),
    (
        "xadd s * a b c",
        "ERR wrong number of arguments for 'xadd' command",
    ),
    (
        "xadd s maxlen 5 *",
        "ERR wrong number of arguments for 'xadd' command",
    ),
    (
        "xadd s maxlen -1 * a b",
        "ERR The MAXLEN argument must be >= 0.",
    ),
    (
        "xadd s maxlen 5 limit 3 * a b",
        "ERR syntax error, LIMIT cannot be used without the special ~ option",
    ),
    (
        "xadd s maxlen ~ 5 limit -1 * a b",
        "ERR The LIMIT argument must be >= 0.",
    ),
    (
        "xread streams a",
        "ERR wrong number of arguments for 'xread' command",
    ),
    (
        "xread streams a b 1",
        "ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified.",
    ),
    ("xread block -1 streams s 0", "ERR timeout is negative"),
    (
        "xread block x streams s 0",
        "ERR timeout is not an integer or out of range",
    ),
    (
        "xread streams s >",
        "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.",
    ),
    ("xread count 1 block 1", "ERR syntax error"),
    (
        "xrange s (- +",
        "ERR Invalid stream ID specified as stream command argument",
    ),
    (
        "xrange s (18446744073709551615-18446744073709551615 +",
        "ERR invalid start ID for the interval",
    ),
    ("xrange s - (0-0", "ERR invalid end ID for the interval"),
    ("xrange s - + cnt 1", "ERR syntax error"),
    ("xinfo foo", "ERR unknown subcommand 'foo'. Try XINFO HELP."),
    (
        "xinfo stream",
        "ERR wrong number of arguments for 'xinfo|stream' command",
    ),
    ("xtrim s maxlen -1", "ERR The MAXLEN argument must be >= 0."),
    ("xtrim s foo 1", "ERR syntax error"),
    (
        "xtrim s",
        "ERR wrong number of arguments for 'xtrim' command",
    ),
    ("xdel s", "ERR wrong number of arguments for 'xdel' command"),
    (
        "xdel s bad",
        "ERR Invalid stream ID specified as stream command argument",
    ),
];

#[test]
fn refusals_have_the_words_of_redis() {
    check_refusals(REFUSALS);
}

#[test]
fn streams_in_full() {
    let append = Append {
        key: bytes("s"),
        missing: IfMissing::Skip,
        trim: Some(Trim {
            keep: Keep::MaxLen(9),
            limit: Some(3),
        }),
        id: AddId::AutoSeq(5),
        fields: vec![(bytes("f"), bytes("v"))],
    };
    let line = "xadd s nomkstream maxlen ~ 9 limit 3 5-* f v";
    assert_eq!(ok(line), Request::XAdd(append));
    let range = XRange {
        key: bytes("s"),
        start: StreamId::new(1, 1),
        end: StreamId::new(2, u64::MAX),
        count: Some(0),
        rev: true,
    };
    assert_eq!(ok("xrevrange s 2 (1-0 count -1"), Request::XRange(range));
    let read = XRead {
        read: Read {
            count: Some(7),
            streams: vec![
                (bytes("a"), ReadFrom::Now),
                (bytes("b"), ReadFrom::After(StreamId::new(5, 0))),
            ],
        },
        block: Some(Block::Forever),
    };
    assert_eq!(
        ok("xread count 7 block 0 streams a b $ 5"),
        Request::XRead(read)
    );
}
