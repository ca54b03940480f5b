//! Commands about the connection itself.

use bytes::Bytes;

use super::args::{Args, integer, is};
use super::error::preview;
use super::{CommandError, Credentials, Request};
use crate::resp::Proto;

/// HELLO: greets, and may change the protocol version, authenticate and name the connection, in
/// this order of care: nothing changes unless all of it can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The version wanted; `None`: as it is.
    pub proto: Option<Proto>,
    /// Who the client says it is.
    pub auth: Option<Credentials>,
    /// The name wanted for the connection; empty takes the name away.
    pub name: Option<Bytes>,
}

/// CLIENT and its subcommands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientCommand {
    /// Names the connection; empty takes the name away.
    SetName(Bytes),
    /// The connection's name.
    GetName,
    /// The connection's number.
    Id,
    /// What library the client uses: its name…
    SetLibName(Bytes),
    /// …and its version.
    SetLibVersion(Bytes),
    /// All connections.
    List,
    /// This connection.
    Info,
    /// Whether this connection is spared when memory is short.
    NoEvict(bool),
    /// Whether this connection's reads leave no trace in the access statistics.
    NoTouch(bool),
    /// Which replies this connection wants.
    Reply(ReplyMode),
}

/// CLIENT REPLY.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyMode {
    /// All; answered with OK.
    On,
    /// None, this one included.
    Off,
    /// None to the next command, nor to this one.
    Skip,
}

pub(super) fn ping(mut args: Args) -> Result<Request, CommandError> {
    args.len()
        .le(&1)
        .then(|| Request::Ping(args.option()))
        .ok_or(CommandError::WrongArity("ping"))
}

pub(super) fn echo(mut args: Args) -> Result<Request, CommandError> {
    Ok(Request::Echo(args.take()?))
}

pub(super) fn quit(_args: Args) -> Result<Request, CommandError> {
    Ok(Request::Quit)
}

pub(super) fn reset(_args: Args) -> Result<Request, CommandError> {
    Ok(Request::Reset)
}

pub(super) fn select(mut args: Args) -> Result<Request, CommandError> {
    Ok(Request::Select(args.integer()?))
}

pub(super) fn auth(mut args: Args) -> Result<Request, CommandError> {
    let first = args.take()?;
    let credentials = match args.option() {
        None => Credentials::new(None, first),
        Some(password) => Credentials::new(Some(first), password),
    };
    args.end()?;
    Ok(Request::Auth(credentials))
}

pub(super) fn hello(mut args: Args) -> Result<Request, CommandError> {
    let proto = match args.option() {
        None => None,
        Some(version) => Some(proto(&version)?),
    };
    let mut hello = Hello {
        proto,
        auth: None,
        name: None,
    };
    while let Some(option) = args.option() {
        let incomplete = |_| CommandError::HelloOption(preview(&option, 128));
        if is(&option, "AUTH") {
            let user = args.take().map_err(incomplete)?;
            let password = args.take().map_err(incomplete)?;
            hello.auth = Some(Credentials::new(Some(user), password));
        } else if is(&option, "SETNAME") {
            hello.name = Some(client_name(args.take().map_err(incomplete)?)?);
        } else {
            return Err(incomplete(CommandError::Syntax));
        }
    }
    Ok(Request::Hello(hello))
}

fn proto(version: &[u8]) -> Result<Proto, CommandError> {
    match integer(version) {
        Ok(2) => Ok(Proto::Resp2),
        Ok(3) => Ok(Proto::Resp3),
        Ok(_) => Err(CommandError::Refused(
            "NOPROTO unsupported protocol version",
        )),
        Err(_) => Err(CommandError::Refused(
            "ERR Protocol version is not an integer or out of range",
        )),
    }
}

pub(super) fn client(mut args: Args) -> Result<Request, CommandError> {
    let sub = args.take()?;
    let command = match sub.to_ascii_lowercase().as_slice() {
        b"setname" => {
            args.exactly(1, "client|setname")?;
            ClientCommand::SetName(client_name(args.take()?)?)
        }
        b"getname" => {
            args.exactly(0, "client|getname")?;
            ClientCommand::GetName
        }
        b"id" => {
            args.exactly(0, "client|id")?;
            ClientCommand::Id
        }
        b"info" => {
            args.exactly(0, "client|info")?;
            ClientCommand::Info
        }
        b"list" => {
            args.end()?;
            ClientCommand::List
        }
        b"setinfo" => {
            args.exactly(2, "client|setinfo")?;
            set_info(&args.take()?, args.take()?)?
        }
        b"no-evict" => {
            args.exactly(1, "client|no-evict")?;
            ClientCommand::NoEvict(on_off(&args.take()?)?)
        }
        b"no-touch" => {
            args.exactly(1, "client|no-touch")?;
            ClientCommand::NoTouch(on_off(&args.take()?)?)
        }
        b"reply" => {
            args.exactly(1, "client|reply")?;
            ClientCommand::Reply(reply_mode(&args.take()?)?)
        }
        _ => return Err(CommandError::unknown_subcommand("CLIENT", &sub)),
    };
    Ok(Request::Client(command))
}

/// Names stand in lists separated by spaces and lines.
fn is_plain(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_graphic)
}

/// Longest name of a client or of its library. It is kept as long as the connection, and shown in lists of all.
const NAME_BYTES_MAX: usize = 256;

fn check_name(name: &[u8], refusal: &'static str) -> Result<(), CommandError> {
    if name.len() > NAME_BYTES_MAX {
        return Err(CommandError::Refused(
            "ERR names of clients and libraries have at most 256 bytes",
        ));
    }
    match is_plain(name) {
        true => Ok(()),
        false => Err(CommandError::Refused(refusal)),
    }
}

fn client_name(name: Bytes) -> Result<Bytes, CommandError> {
    let refusal = "ERR Client names cannot contain spaces, newlines or special characters.";
    check_name(&name, refusal)?;
    Ok(name)
}

fn set_info(attribute: &[u8], value: Bytes) -> Result<ClientCommand, CommandError> {
    if is(attribute, "lib-name") {
        let refusal = "ERR lib-name cannot contain spaces, newlines or special characters.";
        check_name(&value, refusal)?;
        Ok(ClientCommand::SetLibName(value))
    } else if is(attribute, "lib-ver") {
        let refusal = "ERR lib-ver cannot contain spaces, newlines or special characters.";
        check_name(&value, refusal)?;
        Ok(ClientCommand::SetLibVersion(value))
    } else {
        Err(CommandError::Syntax)
    }
}

fn on_off(arg: &[u8]) -> Result<bool, CommandError> {
    if is(arg, "ON") {
        Ok(true)
    } else if is(arg, "OFF") {
        Ok(false)
    } else {
        Err(CommandError::Syntax)
    }
}

fn reply_mode(arg: &[u8]) -> Result<ReplyMode, CommandError> {
    if is(arg, "SKIP") {
        return Ok(ReplyMode::Skip);
    }
    Ok(if on_off(arg)? {
        ReplyMode::On
    } else {
        ReplyMode::Off
    })
}
