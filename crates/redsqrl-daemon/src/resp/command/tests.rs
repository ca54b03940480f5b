use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::*;
use crate::resp::glob::Glob;
use crate::resp::inline;
use crate::resp::streams::{AddId, IfMissing, Keep, Read, ReadFrom};
use crate::resp::{Proto, Reply};

fn command(line: &str) -> Command {
    let mut args = inline::split(line.as_bytes()).unwrap();
    let name = args.remove(0);
    Command { name, args }
}

fn ok(line: &str) -> Request {
    decode(command(line)).unwrap_or_else(|error| panic!("{line}: {error}"))
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// Each line and the reply of a Redis 7.0 to it.
const REFUSALS: &[(&str, &str)] = &[
    ("get", "ERR wrong number of arguments for 'get' command"),
    (
        "foo a 'b c'",
        "ERR unknown command 'foo', with args beginning with: 'a' 'b c' ",
    ),
    (
        "foo",
        "ERR unknown command 'foo', with args beginning with: ",
    ),
    (
        "ping a b",
        "ERR wrong number of arguments for 'ping' command",
    ),
    (
        "client",
        "ERR wrong number of arguments for 'client' command",
    ),
    (
        "client foo",
        "ERR unknown subcommand 'foo'. Try CLIENT HELP.",
    ),
    (
        "client setname 'a b'",
        "ERR Client names cannot contain spaces, newlines or special characters.",
    ),
    (
        "client setname",
        "ERR wrong number of arguments for 'client|setname' command",
    ),
    (
        "client id x",
        "ERR wrong number of arguments for 'client|id' command",
    ),
    ("client reply foo", "ERR syntax error"),
    ("client no-evict foo", "ERR syntax error"),
    ("client list foo", "ERR syntax error"),
    ("hello 4", "NOPROTO unsupported protocol version"),
    (
        "hello x",
        "ERR Protocol version is not an integer or out of range",
    ),
    ("hello 3 foo", "ERR Syntax error in HELLO option 'foo'"),
    ("hello 3 auth u", "ERR Syntax error in HELLO option 'auth'"),
    ("auth", "ERR wrong number of arguments for 'auth' command"),
    ("auth a b c", "ERR syntax error"),
    ("select x", "ERR value is not an integer or out of range"),
    ("select 0x1", "ERR value is not an integer or out of range"),
    (
        "reset x",
        "ERR wrong number of arguments for 'reset' command",
    ),
    (
        "command foo",
        "ERR unknown subcommand 'foo'. Try COMMAND HELP.",
    ),
    (
        "command count x",
        "ERR wrong number of arguments for 'command|count' command",
    ),
    (
        "config get",
        "ERR wrong number of arguments for 'config|get' command",
    ),
    (
        "config foo",
        "ERR unknown subcommand 'foo'. Try CONFIG HELP.",
    ),
    ("set a b ex 0", "ERR invalid expire time in 'set' command"),
    (
        "set a b ex x",
        "ERR value is not an integer or out of range",
    ),
    ("set a b foo", "ERR syntax error"),
    ("set a b ex", "ERR syntax error"),
    ("set a b ex 5 keepttl", "ERR syntax error"),
    ("set a b ex 5 px 5", "ERR syntax error"),
    ("set a b nx xx", "ERR syntax error"),
    (
        "set a b px 9223372036854775807",
        "ERR invalid expire time in 'set' command",
    ),
    ("setex a 0 x", "ERR invalid expire time in 'setex' command"),
    (
        "psetex a -1 b",
        "ERR invalid expire time in 'psetex' command",
    ),
    ("mset a", "ERR wrong number of arguments for 'mset' command"),
    (
        "mset a b c",
        "ERR wrong number of arguments for 'mset' command",
    ),
    ("expire a x", "ERR value is not an integer or out of range"),
    ("expire a 1 foo", "ERR Unsupported option foo"),
    (
        "expire a 1 nx xx",
        "ERR NX and XX, GT or LT options at the same time are not compatible",
    ),
    (
        "expire a 1 gt lt",
        "ERR GT and LT options at the same time are not compatible",
    ),
    (
        "expire a 9223372036854775807",
        "ERR invalid expire time in 'expire' command",
    ),
    ("scan x", "ERR invalid cursor"),
    ("scan 0 count 0", "ERR syntax error"),
    ("scan 0 match", "ERR syntax error"),
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
    for (line, text) in REFUSALS {
        let error = decode(command(line)).expect_err(line);
        assert_eq!(error.to_string(), *text, "{line}");
    }
}

#[test]
fn spellings_of_set_become_one() {
    let plain = Set {
        key: bytes("k"),
        value: bytes("v"),
        lifetime: Lifetime::Unbounded,
        condition: None,
        reply: SetReply::Status,
    };
    let with = |change: fn(&mut Set)| {
        let mut set = plain.clone();
        change(&mut set);
        Request::Set(set)
    };
    assert_eq!(ok("sEt k v"), with(|_| {}));
    let ex = with(|set| set.lifetime = Lifetime::Ends(Expiry::In(5000)));
    for line in [
        "set k v ex 5",
        "setex k 5 v",
        "psetex k 5000 v",
        "set k v PX 5000",
    ] {
        assert_eq!(ok(line), ex, "{line}");
    }
    let nx = with(|set| {
        set.condition = Some(SetIf::Absent);
        set.reply = SetReply::Flag;
    });
    assert_eq!(ok("setnx k v"), nx);
    let get = with(|set| set.reply = SetReply::OldValue);
    assert_eq!(ok("getset k v"), get);
    assert_eq!(ok("set k v get"), get);
    let all = with(|set| {
        set.condition = Some(SetIf::Present);
        set.reply = SetReply::OldValue;
        set.lifetime = Lifetime::Ends(Expiry::At(7000));
    });
    assert_eq!(ok("set k v xx exat 7 get"), all);
    assert_eq!(
        ok("set k v keepttl"),
        with(|set| set.lifetime = Lifetime::Keep)
    );
    assert_eq!(Expiry::In(i64::MAX / 2).deadline_ms(i64::MAX), i64::MAX);
}

#[test]
fn keys_and_scans() {
    let key = || bytes("k");
    assert_eq!(ok("unlink k k"), Request::Del(vec![key(), key()]));
    let expire = |expiry, condition| {
        let key = key();
        Request::Expire(Expire {
            key,
            expiry,
            condition,
        })
    };
    assert_eq!(ok("expire k -1"), expire(Expiry::In(-1000), None));
    assert_eq!(
        ok("pexpireat k 5 gt"),
        expire(Expiry::At(5), Some(ExpireIf::Later))
    );
    let sooner = Some(ExpireIf::BoundedAndSooner);
    assert_eq!(ok("pexpire k 5 xx lt"), expire(Expiry::In(5), sooner));
    let scan = Scan {
        cursor: 18_446_744_073_709_551_615,
        pattern: Some(Glob::new(bytes("a*"))),
        count: 100,
        kind: Some(bytes("string")),
    };
    let line = "scan 18446744073709551615 match a* count 100 type STRING";
    assert_eq!(ok(line), Request::Scan(scan));
}

#[test]
fn sessions() {
    let user = Credentials::new(Some(bytes("u")), bytes("sesame"));
    let hello = Hello {
        proto: Some(Proto::Resp3),
        auth: Some(user.clone()),
        name: Some(bytes("n")),
    };
    assert_eq!(ok("hello 3 auth u sesame setname n"), Request::Hello(hello));
    assert_eq!(ok("auth u sesame"), Request::Auth(user.clone()));
    assert!(user.password_is(b"sesame"));
    for wrong in [&b""[..], b"sesam", b"sesame2", b"sesamf", b"sesame\0"] {
        assert!(!user.password_is(wrong));
    }
    assert!(!Credentials::new(None, bytes("sesame\0")).password_is(b"sesame"));
    assert_eq!(Credentials::new(None, bytes("x")).user(), b"default");
    let lib = ClientCommand::SetLibName(bytes("redis-rs"));
    assert_eq!(ok("client setinfo LIB-NAME redis-rs"), Request::Client(lib));
    assert_eq!(
        ok("client no-evict on"),
        Request::Client(ClientCommand::NoEvict(true))
    );
    let save = vec![Glob::new(bytes("save"))];
    assert_eq!(ok("CONFIG GET SAVE"), Request::ConfigGet(save));
}

#[test]
fn no_password_in_debug() {
    for line in ["auth sesame", "auth u sesame", "hello 3 auth u sesame"] {
        assert!(!format!("{:?}", ok(line)).contains("sesame"), "{line}");
    }
    for line in ["auht sesame", "auth sesame sesame sesame"] {
        let error = decode(command(line)).expect_err(line);
        assert!(!format!("{error:?}").contains("sesame"), "{line}");
    }
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

#[test]
fn http_is_told_apart() {
    for line in ["POST / HTTP/1.1", "Host: example.org"] {
        assert_eq!(decode(command(line)), Err(CommandError::NotRedis));
    }
}

#[test]
fn a_long_unknown_command_is_repeated_in_part() {
    let long = "x".repeat(10_000);
    let error = decode(command(&format!("{long} {long} {long}"))).expect_err("unknown");
    assert!(error.to_string().len() < 400);
}

#[test]
fn the_table_is_sorted_and_found() {
    assert!(TABLE.is_sorted_by(|a, b| a.name < b.name));
    for spec in TABLE {
        let found = find(spec.name.to_ascii_uppercase().as_bytes()).expect(spec.name);
        assert_eq!(found.name, spec.name);
    }
    assert!(find(b"").is_none() && find(b"averylongcommandname").is_none());
}

#[test]
fn the_table_is_told() {
    let told = |line: &str| {
        let Request::Command(query) = ok(line) else {
            panic!("{line}");
        };
        let mut out = BytesMut::new();
        describe::answer(&mut Reply::new(&mut out, Proto::Resp2), &query);
        String::from_utf8(out.to_vec()).unwrap()
    };
    assert_eq!(told("command count"), format!(":{}\r\n", TABLE.len()));
    assert_eq!(told("command docs get"), "*0\r\n");
    assert_eq!(
        told("command info GET nope"),
        "*2\r\n*10\r\n$3\r\nget\r\n:2\r\n*2\r\n+readonly\r\n+fast\r\n:1\r\n:1\r\n:1\r\n\
         *0\r\n*0\r\n*0\r\n*0\r\n*-1\r\n"
    );
    assert_eq!(told("command"), told("command info"));
}

/// Words commands know, so that random requests get past the first option.
fn word() -> impl Strategy<Value = Vec<u8>> {
    let words = [
        "nx",
        "xx",
        "ex",
        "px",
        "get",
        "keepttl",
        "match",
        "count",
        "type",
        "streams",
        "block",
        "maxlen",
        "minid",
        "~",
        "=",
        "limit",
        "*",
        "5-*",
        "1-1",
        "-",
        "+",
        "(5",
        "$",
        "auth",
        "setname",
        "stream",
        "info",
        "docs",
        "3",
        "0",
        "-1",
        "9223372036854775807",
        "k",
    ];
    prop_oneof![
        6 => prop::sample::select(words.to_vec()).prop_map(|word| word.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..8),
    ]
}

proptest! {
    #[test]
    fn any_words_are_decoded_or_refused(
        at in 0..TABLE.len(),
        args in prop::collection::vec(word(), 0..9),
    ) {
        let command = Command {
            name: Bytes::from_static(TABLE[at].name.as_bytes()),
            args: args.into_iter().map(Bytes::from).collect(),
        };
        if let Err(error) = decode(command) {
            prop_assert!(error.to_string().contains(' '));
        }
    }

    #[test]
    fn any_name_is_known_or_not(name: Vec<u8>, args: Vec<Vec<u8>>) {
        let args = args.into_iter().map(Bytes::from).collect();
        let _decoded_or_refused = decode(Command { name: Bytes::from(name), args });
    }
}
