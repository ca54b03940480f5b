use super::*;
use crate::resp::pieces::Pieces;
use crate::resp::{Proto, Reply};

/// Each line and the reply of a Redis 7.0 to it.
const REFUSALS: &[(&str, &str)] = &[
    (
        "foo a 'b c'",
        "ERR unknown command 'foo', with args beginning with: 'a' 'b c' ",
    ),
    (
        "foo",
        "ERR unknown command 'foo', with args beginning with: ",
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
];

#[test]
fn refusals_have_the_words_of_redis() {
    check_refusals(REFUSALS);
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
        let mut out = Pieces::default();
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
