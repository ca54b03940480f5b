use super::*;
use crate::resp::glob::Glob;

/// Each line and the reply of a Redis 7.0 to it.
const REFUSALS: &[(&str, &str)] = &[
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
];

#[test]
fn refusals_have_the_words_of_redis() {
    check_refusals(REFUSALS);
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
