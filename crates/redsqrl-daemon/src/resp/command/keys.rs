//! Commands about keys.

use bytes::Bytes;

use super::args::{Args, is};
use super::error::preview;
use super::strings::Unit;
use super::{CommandError, Expiry, Request};
use crate::resp::glob::Glob;

/// EXPIRE, PEXPIRE, EXPIREAT and PEXPIREAT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expire {
    /// Which key.
    pub key: Bytes,
    /// When it ends; a time that has passed deletes it.
    pub expiry: Expiry,
    /// When the end is set; `None`: in any case.
    pub condition: Option<ExpireIf>,
}

/// When an EXPIRE takes place. A key without an end counts as one that never ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpireIf {
    /// Only if it has no end (NX).
    Unbounded,
    /// Only if it has an end (XX).
    Bounded,
    /// Only if it ends later than now set (GT; XX GT says the same).
    Later,
    /// Only if it ends sooner, or had no end (LT).
    Sooner,
    /// Only if it has an end and now ends sooner (XX LT).
    BoundedAndSooner,
}

/// SCAN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// 0 to begin, else what the last reply gave.
    pub cursor: u64,
    /// Which keys; `None`: all.
    pub pattern: Option<Glob>,
    /// How many keys to look at, at least one; a hint.
    pub count: u64,
    /// Which type of value, in lower case; `None`: any.
    pub kind: Option<Bytes>,
}

/// How many keys SCAN looks at when it is not told.
const SCAN_COUNT_DEFAULT: u64 = 10;

pub(super) fn del(args: Args) -> Result<Request, CommandError> {
    Ok(Request::Del(args.rest()))
}

pub(super) fn exists(args: Args) -> Result<Request, CommandError> {
    Ok(Request::Exists(args.rest()))
}

pub(super) fn ttl(mut args: Args) -> Result<Request, CommandError> {
    Ok(Request::Ttl(args.take()?))
}

pub(super) fn pttl(mut args: Args) -> Result<Request, CommandError> {
    Ok(Request::PTtl(args.take()?))
}

pub(super) fn expiretime(mut args: Args) -> Result<Request, CommandError> {
    Ok(Request::ExpireTime(args.take()?))
}

pub(super) fn pexpiretime(mut args: Args) -> Result<Request, CommandError> {
    Ok(Request::PExpireTime(args.take()?))
}

pub(super) fn persist(mut args: Args) -> Result<Request, CommandError> {
    Ok(Request::Persist(args.take()?))
}

pub(super) fn kind(mut args: Args) -> Result<Request, CommandError> {
    Ok(Request::Type(args.take()?))
}

pub(super) fn expire(args: Args) -> Result<Request, CommandError> {
    expire_in(args, Unit::Seconds, "expire")
}

pub(super) fn pexpire(args: Args) -> Result<Request, CommandError> {
    expire_in(args, Unit::Millis, "pexpire")
}

pub(super) fn expireat(args: Args) -> Result<Request, CommandError> {
    expire_in(args, Unit::AtSeconds, "expireat")
}

pub(super) fn pexpireat(args: Args) -> Result<Request, CommandError> {
    expire_in(args, Unit::AtMillis, "pexpireat")
}

fn expire_in(mut args: Args, unit: Unit, command: &'static str) -> Result<Request, CommandError> {
    let key = args.take()?;
    let number = args.take()?;
    let condition = expire_if(args)?;
    let expiry = Expiry::read(&number, unit, command)?;
    Ok(Request::Expire(Expire {
        key,
        expiry,
        condition,
    }))
}

fn expire_if(mut args: Args) -> Result<Option<ExpireIf>, CommandError> {
    let (mut nx, mut xx, mut gt, mut lt) = (false, false, false, false);
    while let Some(option) = args.option() {
        match option.to_ascii_uppercase().as_slice() {
            b"NX" => nx = true,
            b"XX" => xx = true,
            b"GT" => gt = true,
            b"LT" => lt = true,
            _ => return Err(CommandError::UnsupportedOption(preview(&option, 128))),
        }
    }
    match (nx, xx, gt, lt) {
        (true, true, _, _) | (true, _, true, _) | (true, _, _, true) => Err(CommandError::Refused(
            "ERR NX and XX, GT or LT options at the same time are not compatible",
        )),
        (_, _, true, true) => Err(CommandError::Refused(
            "ERR GT and LT options at the same time are not compatible",
        )),
        (true, ..) => Ok(Some(ExpireIf::Unbounded)),
        (_, _, true, _) => Ok(Some(ExpireIf::Later)),
        (_, true, _, true) => Ok(Some(ExpireIf::BoundedAndSooner)),
        (_, true, _, _) => Ok(Some(ExpireIf::Bounded)),
        (_, _, _, true) => Ok(Some(ExpireIf::Sooner)),
        (false, false, false, false) => Ok(None),
    }
}

pub(super) fn scan(mut args: Args) -> Result<Request, CommandError> {
    let mut scan = Scan {
        cursor: cursor(&args.take()?)?,
        pattern: None,
        count: SCAN_COUNT_DEFAULT,
        kind: None,
    };
    while let Some(option) = args.option() {
        if is(&option, "MATCH") {
            scan.pattern = Some(Glob::new(args.take()?));
        } else if is(&option, "COUNT") {
            let count = u64::try_from(args.integer()?).unwrap_or(0);
            if count == 0 {
                return Err(CommandError::Syntax);
            }
            scan.count = count;
        } else if is(&option, "TYPE") {
            scan.kind = Some(Bytes::from(args.take()?.to_ascii_lowercase()));
        } else {
            return Err(CommandError::Syntax);
        }
    }
    Ok(Request::Scan(scan))
}

fn cursor(text: &[u8]) -> Result<u64, CommandError> {
    let digits = text.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(text).ok().filter(|_| digits);
    text.and_then(|text| text.parse().ok())
        .ok_or(CommandError::Refused("ERR invalid cursor"))
}
