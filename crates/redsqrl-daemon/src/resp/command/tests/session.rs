use super::*;
use crate::resp::Proto;
use crate::resp::glob::Glob;

/// Each line and the reply of a Redis 7.0 to it.
const REFUSALS: &[(&str, &str)] = &[
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
];

#[test]
fn refusals_have_the_words_of_redis() {
    check_refusals(REFUSALS);
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
fn i8_a_name_that_is_kept_is_short() {
    for before in [
        "client setname",
        "client setinfo lib-ver",
        "hello 3 setname",
    ] {
        let named = |bytes| decode(command(&format!("{before} {}", "n".repeat(bytes))));
        assert!(named(256).is_ok(), "{before}");
        let refused = named(257).expect_err(before).to_string();
        assert!(refused.contains("at most 256 bytes"), "{refused}");
    }
}
