use super::*;

/// Each line and the reply of a Redis 7.0 to it.
const REFUSALS: &[(&str, &str)] = &[
    ("get", "ERR wrong number of arguments for 'get' command"),
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
];

#[test]
fn refusals_have_the_words_of_redis() {
    check_refusals(REFUSALS);
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
