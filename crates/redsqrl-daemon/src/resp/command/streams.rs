//! Commands about streams.

use bytes::Bytes;

use super::args::{Args, integer, is};
use super::{CommandError, Request};
use crate::resp::streams::{
    AddId, Append, IfMissing, Keep, Read, ReadFrom, Side, StreamId, Trim, parse_bound,
};

/// XRANGE and XREVRANGE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XRange {
    /// Which stream.
    pub key: Bytes,
    /// The first id inside.
    pub start: StreamId,
    /// The last id inside.
    pub end: StreamId,
    /// Most entries; `None`: all. Zero is answered with a null array if there is the stream, else
    /// with an empty one.
    pub count: Option<usize>,
    /// From the end backwards (XREVRANGE).
    pub rev: bool,
}

/// XREAD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XRead {
    /// What to read.
    pub read: Read,
    /// How long to wait if there is nothing; `None`: not at all.
    pub block: Option<Block>,
}

/// How long an XREAD waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Block {
    /// Until there is something (`BLOCK 0`).
    Forever,
    /// So many milliseconds.
    Millis(u64),
}

pub(super) fn xadd(mut args: Args) -> Result<Request, CommandError> {
    const ARITY: CommandError = CommandError::WrongArity("xadd");
    let key = args.take()?;
    let mut missing = IfMissing::Create;
    let mut trim = TrimOptions::default();
    let id = loop {
        let arg = args.take()?;
        if is(&arg, "NOMKSTREAM") {
            missing = IfMissing::Skip;
        } else if !trim.option(&arg, &mut args)? {
            break AddId::parse(&arg)?;
        }
    };
    let trim = trim.finish()?;
    let fields = args.pairs().filter(|pairs| !pairs.is_empty());
    Ok(Request::XAdd(Append {
        key,
        missing,
        trim,
        id,
        fields: fields.ok_or(ARITY)?,
    }))
}

pub(super) fn xtrim(mut args: Args) -> Result<Request, CommandError> {
    let key = args.take()?;
    let mut trim = TrimOptions::default();
    while let Some(arg) = args.option() {
        if !trim.option(&arg, &mut args)? {
            return Err(CommandError::Syntax);
        }
    }
    let trim = trim.finish()?.ok_or(CommandError::Syntax)?;
    Ok(Request::XTrim { key, trim })
}

/// The options XADD and XTRIM share.
#[derive(Default)]
struct TrimOptions {
    keep: Option<Keep>,
    limit: Option<u64>,
    approximate: bool,
}

impl TrimOptions {
    /// Takes an option and its value; `false` if `arg` is none of these.
    fn option(&mut self, arg: &[u8], args: &mut Args) -> Result<bool, CommandError> {
        if is(arg, "LIMIT") {
            let limit = u64::try_from(args.integer()?)
                .map_err(|_| CommandError::Refused("ERR The LIMIT argument must be >= 0."))?;
            self.limit = Some(limit);
            return Ok(true);
        }
        let by_length = is(arg, "MAXLEN");
        if !by_length && !is(arg, "MINID") {
            return Ok(false);
        }
        if self.keep.is_some() {
            return Err(CommandError::Refused(
                "ERR syntax error, MAXLEN and MINID options at the same time are not compatible",
            ));
        }
        let mut threshold = args.take()?;
        self.approximate = threshold.as_ref() == b"~";
        if self.approximate || threshold.as_ref() == b"=" {
            threshold = args.take()?;
        }
        self.keep = Some(if by_length {
            Keep::MaxLen(
                u64::try_from(integer(&threshold)?)
                    .map_err(|_| CommandError::Refused("ERR The MAXLEN argument must be >= 0."))?,
            )
        } else {
            Keep::MinId(StreamId::parse(&threshold, 0)?)
        });
        Ok(true)
    }

    fn finish(self) -> Result<Option<Trim>, CommandError> {
        if self.limit.is_some() && self.keep.is_none() {
            return Err(CommandError::Refused(
                "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy",
            ));
        }
        if self.limit.is_some() && !self.approximate {
            return Err(CommandError::Refused(
                "ERR syntax error, LIMIT cannot be used without the special ~ option",
            ));
        }
        // LIMIT 0 asks for no bound.
        let limit = self.limit.filter(|limit| *limit > 0);
        Ok(self.keep.map(|keep| Trim { keep, limit }))
    }
}

pub(super) fn xlen(mut args: Args) -> Result<Request, CommandError> {
    Ok(Request::XLen(args.take()?))
}

pub(super) fn xdel(mut args: Args) -> Result<Request, CommandError> {
    let key = args.take()?;
    let ids = args.rest().into_iter().map(|id| StreamId::parse(&id, 0));
    let ids = ids.collect::<Result<_, _>>()?;
    Ok(Request::XDel { key, ids })
}

pub(super) fn xrange(args: Args) -> Result<Request, CommandError> {
    range(args, false)
}

pub(super) fn xrevrange(args: Args) -> Result<Request, CommandError> {
    range(args, true)
}

fn range(mut args: Args, rev: bool) -> Result<Request, CommandError> {
    let key = args.take()?;
    let (first, second) = (args.take()?, args.take()?);
    let (start, end) = if rev {
        (second, first)
    } else {
        (first, second)
    };
    let start = parse_bound(&start, Side::Start)?;
    let end = parse_bound(&end, Side::End)?;
    let mut count = None;
    while let Some(option) = args.option() {
        if !is(&option, "COUNT") {
            return Err(CommandError::Syntax);
        }
        count = Some(usize::try_from(args.integer()?).unwrap_or(0));
    }
    Ok(Request::XRange(XRange {
        key,
        start,
        end,
        count,
        rev,
    }))
}

pub(super) fn xread(mut args: Args) -> Result<Request, CommandError> {
    let mut count = None;
    let mut block = None;
    loop {
        let option = args.take()?;
        if is(&option, "STREAMS") {
            break;
        } else if is(&option, "COUNT") {
            // Zero and less ask for no bound.
            count = usize::try_from(args.integer()?)
                .ok()
                .filter(|count| *count > 0);
        } else if is(&option, "BLOCK") {
            block = Some(block_time(&args.take()?)?);
        } else {
            return Err(CommandError::Syntax);
        }
    }
    let mut keys = args.rest();
    if keys.is_empty() {
        return Err(CommandError::Syntax);
    }
    if !keys.len().is_multiple_of(2) {
        return Err(CommandError::Refused(
            "ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified.",
        ));
    }
    let ids = keys.split_off(keys.len() / 2);
    let ids = ids.iter().map(|id| read_from(id));
    let ids: Vec<ReadFrom> = ids.collect::<Result<_, _>>()?;
    let streams = keys.into_iter().zip(ids).collect();
    let read = Read { count, streams };
    Ok(Request::XRead(XRead { read, block }))
}

fn block_time(text: &[u8]) -> Result<Block, CommandError> {
    let ms = integer(text)
        .map_err(|_| CommandError::Refused("ERR timeout is not an integer or out of range"))?;
    match u64::try_from(ms) {
        Ok(0) => Ok(Block::Forever),
        Ok(ms) => Ok(Block::Millis(ms)),
        Err(_) => Err(CommandError::Refused("ERR timeout is negative")),
    }
}

fn read_from(id: &[u8]) -> Result<ReadFrom, CommandError> {
    match id {
        b"$" => Ok(ReadFrom::Now),
        b">" => Err(CommandError::Refused(
            "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.",
        )),
        _ => Ok(ReadFrom::After(StreamId::parse(id, 0)?)),
    }
}

pub(super) fn xinfo(mut args: Args) -> Result<Request, CommandError> {
    let sub = args.take()?;
    if !is(&sub, "STREAM") {
        return Err(CommandError::unknown_subcommand("XINFO", &sub));
    }
    let key = args
        .option()
        .ok_or(CommandError::WrongArity("xinfo|stream"))?;
    args.end()?;
    Ok(Request::XInfoStream(key))
}
