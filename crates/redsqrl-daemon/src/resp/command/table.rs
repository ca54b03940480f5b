//! The table of commands: one line each, sorted by name.

use super::args::Args;
use super::{CommandError, Request, keys, server, session, streams, strings};

type Decode = fn(Args) -> Result<Request, CommandError>;

/// What is known of a command before its arguments are read.
#[derive(Debug)]
pub struct CommandSpec {
    /// In lower case.
    pub name: &'static str,
    /// How many words, the name included; negative: at least so many.
    pub arity: i32,
    /// As COMMAND INFO lists them.
    pub flags: &'static [&'static str],
    /// First key, last key (negative: from the end) and step; zeros: no keys at fixed places.
    pub keys: (i32, i32, i32),
    decode: Decode,
}

impl CommandSpec {
    /// Whether so many arguments, the name not counted, may follow.
    #[must_use]
    pub fn accepts(&self, args: usize) -> bool {
        let words = i64::try_from(args).unwrap_or(i64::MAX).saturating_add(1);
        let arity = i64::from(self.arity);
        if arity < 0 {
            words >= -arity
        } else {
            words == arity
        }
    }

    pub(super) fn decode(&self, args: Args) -> Result<Request, CommandError> {
        (self.decode)(args)
    }
}

/// The command of this name, in any case.
#[must_use]
pub fn find(name: &[u8]) -> Option<&'static CommandSpec> {
    let mut lower = [0u8; NAME_BYTES_MAX];
    let lower = lower.get_mut(..name.len())?;
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    let at = TABLE.binary_search_by(|spec| spec.name.as_bytes().cmp(lower));
    at.ok().and_then(|at| TABLE.get(at))
}

/// No name is longer.
const NAME_BYTES_MAX: usize = 16;

const NO_KEYS: (i32, i32, i32) = (0, 0, 0);
const ONE_KEY: (i32, i32, i32) = (1, 1, 1);
const ALL_KEYS: (i32, i32, i32) = (1, -1, 1);
const KEYS_AND_VALUES: (i32, i32, i32) = (1, -1, 2);

const READ: &[&str] = &["readonly"];
const READ_FAST: &[&str] = &["readonly", "fast"];
const WRITE: &[&str] = &["write"];
const WRITE_FAST: &[&str] = &["write", "fast"];
const STORE: &[&str] = &["write", "denyoom"];
const STORE_FAST: &[&str] = &["write", "denyoom", "fast"];
const ALWAYS: &[&str] = &["loading", "stale"];
const ALWAYS_FAST: &[&str] = &["loading", "stale", "fast"];
const BEFORE_AUTH: &[&str] = &["noscript", "loading", "stale", "fast", "no_auth"];
const SESSION: &[&str] = &["noscript", "loading", "stale"];

const fn spec(
    name: &'static str,
    arity: i32,
    flags: &'static [&'static str],
    keys: (i32, i32, i32),
    decode: Decode,
) -> CommandSpec {
    CommandSpec {
        name,
        arity,
        flags,
        keys,
        decode,
    }
}

/// Every command, sorted by name.
#[rustfmt::skip]
pub static TABLE: &[CommandSpec] = &[
    spec("auth", -2, BEFORE_AUTH, NO_KEYS, session::auth),
    spec("client", -2, SESSION, NO_KEYS, session::client),
    spec("command", -1, ALWAYS, NO_KEYS, server::command),
    spec("config", -2, &["admin", "noscript", "loading", "stale"], NO_KEYS, server::config),
    spec("dbsize", 1, READ_FAST, NO_KEYS, server::dbsize),
    spec("del", -2, WRITE, ALL_KEYS, keys::del),
    spec("echo", 2, ALWAYS_FAST, NO_KEYS, session::echo),
    spec("exists", -2, READ_FAST, ALL_KEYS, keys::exists),
    spec("expire", -3, WRITE_FAST, ONE_KEY, keys::expire),
    spec("expireat", -3, WRITE_FAST, ONE_KEY, keys::expireat),
    spec("expiretime", 2, READ_FAST, ONE_KEY, keys::expiretime),
    spec("get", 2, READ_FAST, ONE_KEY, strings::get),
    spec("getdel", 2, WRITE_FAST, ONE_KEY, strings::getdel),
    spec("getset", 3, STORE_FAST, ONE_KEY, strings::getset),
    spec("hello", -1, BEFORE_AUTH, NO_KEYS, session::hello),
    spec("info", -1, ALWAYS, NO_KEYS, server::info),
    spec("mget", -2, READ_FAST, ALL_KEYS, strings::mget),
    spec("mset", -3, STORE, KEYS_AND_VALUES, strings::mset),
    spec("persist", 2, WRITE_FAST, ONE_KEY, keys::persist),
    spec("pexpire", -3, WRITE_FAST, ONE_KEY, keys::pexpire),
    spec("pexpireat", -3, WRITE_FAST, ONE_KEY, keys::pexpireat),
    spec("pexpiretime", 2, READ_FAST, ONE_KEY, keys::pexpiretime),
    spec("ping", -1, &["fast"], NO_KEYS, session::ping),
    spec("psetex", 4, STORE, ONE_KEY, strings::psetex),
    spec("pttl", 2, READ_FAST, ONE_KEY, keys::pttl),
    spec("quit", -1, BEFORE_AUTH, NO_KEYS, session::quit),
    spec("reset", 1, BEFORE_AUTH, NO_KEYS, session::reset),
    spec("scan", -2, READ, NO_KEYS, keys::scan),
    spec("select", 2, ALWAYS_FAST, NO_KEYS, session::select),
    spec("set", -3, STORE, ONE_KEY, strings::set),
    spec("setex", 4, STORE, ONE_KEY, strings::setex),
    spec("setnx", 3, STORE_FAST, ONE_KEY, strings::setnx),
    spec("strlen", 2, READ_FAST, ONE_KEY, strings::strlen),
    spec("ttl", 2, READ_FAST, ONE_KEY, keys::ttl),
    spec("type", 2, READ_FAST, ONE_KEY, keys::kind),
    spec("unlink", -2, WRITE_FAST, ALL_KEYS, keys::del),
    spec("xadd", -5, STORE_FAST, ONE_KEY, streams::xadd),
    spec("xdel", -3, WRITE_FAST, ONE_KEY, streams::xdel),
    spec("xinfo", -2, READ, (2, 2, 1), streams::xinfo),
    spec("xlen", 2, READ_FAST, ONE_KEY, streams::xlen),
    spec("xrange", -4, READ, ONE_KEY, streams::xrange),
    spec("xread", -4, &["readonly", "blocking", "movablekeys"], NO_KEYS, streams::xread),
    spec("xrevrange", -4, READ, ONE_KEY, streams::xrevrange),
    spec("xtrim", -4, WRITE, ONE_KEY, streams::xtrim),
];
