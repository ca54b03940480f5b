//! Commands about values.

use bytes::Bytes;

use super::args::{Args, integer, is};
use super::{CommandError, Request};

/// SET and its relatives SETEX, PSETEX, SETNX and GETSET.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// Where.
    pub key: Bytes,
    /// What.
    pub value: Bytes,
    /// What becomes of the key's lifetime.
    pub lifetime: Lifetime,
    /// When it is set; `None`: in any case.
    pub condition: Option<SetIf>,
    /// What the client wants to hear.
    pub reply: SetReply,
}

/// What a SET does to the lifetime of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// The value stays for ever: an earlier end is forgotten.
    Unbounded,
    /// An earlier end stays (KEEPTTL).
    Keep,
    /// It ends.
    Ends(Expiry),
}

/// When a key ends, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// So long from now. With EXPIRE it may be zero or negative: the key ends at once.
    In(i64),
    /// At this time since 1970.
    At(i64),
}

impl Expiry {
    /// The time since 1970 at which the key ends; past the end of time it stays there.
    #[must_use]
    pub fn deadline_ms(self, now_ms: i64) -> i64 {
        match self {
            Expiry::In(ms) => now_ms.saturating_add(ms),
            Expiry::At(ms) => ms,
        }
    }

    /// Reads a number in the unit of a command or option: `EX`, `PX`, `EXAT`, `PXAT`.
    ///
    /// Redis refuses what the clock's present value would carry past `i64::MAX`; there is no clock
    /// here, so what is refused is what no clock of this age could add up.
    pub(super) fn read(
        number: &[u8],
        unit: Unit,
        command: &'static str,
    ) -> Result<Self, CommandError> {
        const FAR_MS: i64 = i64::MAX / 2;
        let number = integer(number)?;
        let ms = match unit {
            Unit::Seconds | Unit::AtSeconds => number.checked_mul(1000),
            Unit::Millis | Unit::AtMillis => Some(number),
        };
        let ms = ms.ok_or(CommandError::InvalidExpire(command))?;
        match unit {
            Unit::AtSeconds | Unit::AtMillis => Ok(Expiry::At(ms)),
            Unit::Seconds | Unit::Millis if ms > FAR_MS => {
                Err(CommandError::InvalidExpire(command))
            }
            Unit::Seconds | Unit::Millis => Ok(Expiry::In(ms)),
        }
    }

    /// As [`Expiry::read`], and it must be positive.
    fn read_positive(
        number: &[u8],
        unit: Unit,
        command: &'static str,
    ) -> Result<Self, CommandError> {
        match Expiry::read(number, unit, command)? {
            Expiry::In(ms) | Expiry::At(ms) if ms <= 0 => Err(CommandError::InvalidExpire(command)),
            expiry => Ok(expiry),
        }
    }
}

/// The unit of a lifetime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Seconds,
    Millis,
    AtSeconds,
    AtMillis,
}

/// When a SET takes place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetIf {
    /// Only without a value (NX).
    Absent,
    /// Only over a value (XX).
    Present,
}

/// What a SET answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetReply {
    /// OK, or null if the condition did not hold.
    Status,
    /// 1, or 0 if the condition did not hold (SETNX).
    Flag,
    /// The value before, or null if there was none (GET, GETSET).
    OldValue,
}

fn plain_set(key: Bytes, value: Bytes) -> Set {
    Set {
        key,
        value,
        lifetime: Lifetime::Unbounded,
        condition: None,
        reply: SetReply::Status,
    }
}

pub(super) fn set(mut args: Args) -> Result<Request, CommandError> {
    let mut set = plain_set(args.take()?, args.take()?);
    while let Some(option) = args.option() {
        if is(&option, "NX") && set.condition != Some(SetIf::Present) {
            set.condition = Some(SetIf::Absent);
        } else if is(&option, "XX") && set.condition != Some(SetIf::Absent) {
            set.condition = Some(SetIf::Present);
        } else if is(&option, "GET") {
            set.reply = SetReply::OldValue;
        } else if set.lifetime != Lifetime::Unbounded {
            // Of KEEPTTL and the units only one; KEEPTTL twice says the same twice.
            if !(is(&option, "KEEPTTL") && set.lifetime == Lifetime::Keep) {
                return Err(CommandError::Syntax);
            }
        } else if is(&option, "KEEPTTL") {
            set.lifetime = Lifetime::Keep;
        } else {
            let unit = unit(&option).ok_or(CommandError::Syntax)?;
            let expiry = Expiry::read_positive(&args.take()?, unit, "set")?;
            set.lifetime = Lifetime::Ends(expiry);
        }
    }
    Ok(Request::Set(set))
}

fn unit(option: &[u8]) -> Option<Unit> {
    match option.to_ascii_uppercase().as_slice() {
        b"EX" => Some(Unit::Seconds),
        b"PX" => Some(Unit::Millis),
        b"EXAT" => Some(Unit::AtSeconds),
        b"PXAT" => Some(Unit::AtMillis),
        _ => None,
    }
}

pub(super) fn setex(args: Args) -> Result<Request, CommandError> {
    set_ending(args, Unit::Seconds, "setex")
}

pub(super) fn psetex(args: Args) -> Result<Request, CommandError> {
    set_ending(args, Unit::Millis, "psetex")
}

fn set_ending(mut args: Args, unit: Unit, command: &'static str) -> Result<Request, CommandError> {
    let key = args.take()?;
    let expiry = Expiry::read_positive(&args.take()?, unit, command)?;
    let mut set = plain_set(key, args.take()?);
    set.lifetime = Lifetime::Ends(expiry);
    Ok(Request::Set(set))
}

pub(super) fn setnx(mut args: Args) -> Result<Request, CommandError> {
    let mut set = plain_set(args.take()?, args.take()?);
    set.condition = Some(SetIf::Absent);
    set.reply = SetReply::Flag;
    Ok(Request::Set(set))
}

pub(super) fn getset(mut args: Args) -> Result<Request, CommandError> {
    let mut set = plain_set(args.take()?, args.take()?);
    set.reply = SetReply::OldValue;
    Ok(Request::Set(set))
}

pub(super) fn get(mut args: Args) -> Result<Request, CommandError> {
    Ok(Request::Get(args.take()?))
}

pub(super) fn getdel(mut args: Args) -> Result<Request, CommandError> {
    Ok(Request::GetDel(args.take()?))
}

pub(super) fn strlen(mut args: Args) -> Result<Request, CommandError> {
    Ok(Request::StrLen(args.take()?))
}

pub(super) fn mget(args: Args) -> Result<Request, CommandError> {
    Ok(Request::MGet(args.rest()))
}

pub(super) fn mset(args: Args) -> Result<Request, CommandError> {
    let pairs = args.pairs().ok_or(CommandError::WrongArity("mset"))?;
    Ok(Request::MSet(pairs))
}
