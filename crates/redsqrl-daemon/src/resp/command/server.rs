//! Commands about the node.

use bytes::Bytes;

use super::args::Args;
use super::{CommandError, Request};
use crate::resp::glob::Glob;

/// COMMAND and its subcommands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandQuery {
    /// Every command.
    All,
    /// How many there are.
    Count,
    /// The names of all.
    List,
    /// These; none: all.
    Info(Vec<Bytes>),
    /// The documentation of these; none: of all.
    Docs(Vec<Bytes>),
}

pub(super) fn dbsize(_args: Args) -> Result<Request, CommandError> {
    Ok(Request::DbSize)
}

pub(super) fn info(args: Args) -> Result<Request, CommandError> {
    Ok(Request::Info(args.rest()))
}

pub(super) fn command(mut args: Args) -> Result<Request, CommandError> {
    let Some(sub) = args.option() else {
        return Ok(Request::Command(CommandQuery::All));
    };
    let query = match sub.to_ascii_lowercase().as_slice() {
        b"count" => {
            args.exactly(0, "command|count")?;
            CommandQuery::Count
        }
        b"list" => {
            args.end()?;
            CommandQuery::List
        }
        b"info" => CommandQuery::Info(args.rest()),
        b"docs" => CommandQuery::Docs(args.rest()),
        _ => return Err(CommandError::unknown_subcommand("COMMAND", &sub)),
    };
    Ok(Request::Command(query))
}

pub(super) fn config(mut args: Args) -> Result<Request, CommandError> {
    let sub = args.take()?;
    if !sub.eq_ignore_ascii_case(b"get") {
        return Err(CommandError::unknown_subcommand("CONFIG", &sub));
    }
    if args.len() == 0 {
        return Err(CommandError::WrongArity("config|get"));
    }
    let lower = |name: Bytes| Glob::new(Bytes::from(name.to_ascii_lowercase()));
    let patterns = args.rest().into_iter().map(lower).collect();
    Ok(Request::ConfigGet(patterns))
}
