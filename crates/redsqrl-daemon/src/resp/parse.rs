//! The request parser: bytes in, [`Command`]s out.
//!
//! Two phases: first the arguments' offsets are found in the read buffer, then everything
//! understood is frozen once and the arguments are handed out as slices of it, uncopied. Progress
//! in a request that has arrived in part is remembered, so that no byte is looked at twice
//! however small the pieces are.

use std::fmt;
use std::mem::size_of;
use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};

mod length;

use super::{Limits, ProtocolError, inline};
use length::{Length, length};

/// A request as received: a name and its arguments, so never empty.
///
/// The arguments are slices of the read buffer: cheap, but each keeps the bytes around it
/// alive. Whoever keeps one for long (a cache, a store) copies it.
#[derive(Clone, PartialEq, Eq)]
pub struct Command {
    /// The command's name as the client spelt it.
    pub name: Bytes,
    /// What follows the name.
    pub args: Vec<Bytes>,
}

impl fmt::Debug for Command {
    /// The arguments stay out: one of them may be a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command")
            .field("name", &self.name)
            .field("args", &self.args.len())
            .finish()
    }
}

/// The parser of one connection. After an error every later call gives that error again.
#[derive(Debug, Default)]
pub struct Parser {
    /// Where reading goes on, counted from the first byte of the request under way.
    pos: usize,
    /// Arguments the request under way still lacks; 0 between requests.
    args_left: usize,
    /// Length of the argument whose header has been read, but not its body.
    body: Option<usize>,
    /// Arguments found, counted from the first byte of their request.
    spans: Vec<Range<usize>>,
    /// Whole requests found in the buffer, not yet cut out of it.
    ready: Vec<Ready>,
    failed: Option<ProtocolError>,
}

/// A request that is whole.
#[derive(Debug)]
enum Ready {
    /// `args` spans, counted from `base` in the buffer.
    Array {
        base: usize,
        args: usize,
    },
    Inline(Command),
}

/// What the whole requests at the front of the buffer take of it and of the spans.
struct Whole {
    bytes: usize,
    spans: usize,
}

/// One step through the buffer: bytes passed, and what they were.
enum Step {
    Array(usize),
    Inline(usize, Command),
    /// An empty line or an empty array: no request.
    Nothing(usize),
    Incomplete,
}

/// A request of more arguments than this gives its index back when it has been cut out.
const SPANS_KEPT: usize = 4 * 1024;

impl Parser {
    /// A parser at the beginning of a connection.
    #[must_use]
    pub fn new() -> Self {
        Parser::default()
    }

    /// How many bytes behind the first `len` of the buffer the argument under way lacks, if its
    /// length has been announced.
    #[must_use]
    pub fn missing(&self, len: usize) -> usize {
        let end = |body| self.pos.saturating_add(body).saturating_add(2);
        self.body.map_or(0, |body| end(body).saturating_sub(len))
    }

    /// Bytes of the index of the request under way: it may have many short arguments.
    #[must_use]
    pub fn index_bytes(&self) -> usize {
        self.spans
            .capacity()
            .saturating_mul(size_of::<Range<usize>>())
    }

    /// Takes one command from the front of `buf`; `None` if there is no whole one yet. Between
    /// calls `buf` may only grow at its end. For connections whose limits may change with the
    /// next command (not authenticated yet); others read whole batches.
    ///
    /// # Errors
    /// The bytes are not the protocol, or pass a limit: reply, then close the connection.
    pub fn parse(
        &mut self,
        buf: &mut BytesMut,
        limits: &Limits,
    ) -> Result<Option<Command>, ProtocolError> {
        let mut out = Vec::with_capacity(1);
        self.take(buf, limits, 1, &mut out)?;
        Ok(out.pop())
    }

    /// Takes the whole commands at the front of `buf`, at most `batch_commands_max`, appends
    /// them to `out` in order and says how many. Zero: more bytes are needed. Between calls `buf`
    /// may only grow at its end.
    ///
    /// # Errors
    /// The bytes after the commands appended to `out` are not the protocol, or pass a limit:
    /// answer those commands, reply the error, then close the connection.
    pub fn parse_batch(
        &mut self,
        buf: &mut BytesMut,
        limits: &Limits,
        out: &mut Vec<Command>,
    ) -> Result<usize, ProtocolError> {
        self.take(buf, limits, limits.batch_commands_max.max(1), out)
    }

    fn take(
        &mut self,
        buf: &mut BytesMut,
        limits: &Limits,
        commands_max: usize,
        out: &mut Vec<Command>,
    ) -> Result<usize, ProtocolError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let whole = self.index(buf, limits, commands_max);
        let count = self.ready.len();
        self.cut(buf, whole, out);
        match self.failed {
            Some(error) => Err(error),
            None => Ok(count),
        }
    }

    /// Phase one: finds whole requests and says what they take.
    fn index(&mut self, buf: &[u8], limits: &Limits, commands_max: usize) -> Whole {
        let mut base = 0;
        let mut spans = 0;
        while self.ready.len() < commands_max {
            let rest = buf.get(base..).unwrap_or_default();
            match self.step(rest, limits) {
                Ok(Step::Array(len)) => {
                    let args = self.spans.len() - spans;
                    spans = self.spans.len();
                    self.ready.push(Ready::Array { base, args });
                    base += len;
                }
                Ok(Step::Inline(len, command)) => {
                    self.ready.push(Ready::Inline(command));
                    base += len;
                }
                Ok(Step::Nothing(len)) => base += len,
                Ok(Step::Incomplete) => break,
                Err(error) => {
                    self.failed = Some(error);
                    break;
                }
            }
        }
        Whole { bytes: base, spans }
    }

    /// Phase two: freezes the bytes of the whole requests and slices them. Cannot panic: phase
    /// one has seen all these bytes in `buf`, and every span lies within its request.
    fn cut(&mut self, buf: &mut BytesMut, whole: Whole, out: &mut Vec<Command>) {
        if self.ready.is_empty() {
            buf.advance(whole.bytes);
            return;
        }
        let frame = buf.split_to(whole.bytes).freeze();
        let mut spans = self.spans.drain(..whole.spans);
        for ready in self.ready.drain(..) {
            match ready {
                Ready::Inline(command) => out.push(command),
                Ready::Array { base, args } => {
                    let mut slices = spans
                        .by_ref()
                        .take(args)
                        .map(|span| frame.slice(base + span.start..base + span.end));
                    // An array is ready with at least one argument.
                    if let Some(name) = slices.next() {
                        let args = slices.collect();
                        out.push(Command { name, args });
                    }
                }
            }
        }
        drop(spans);
        if self.spans.capacity() > SPANS_KEPT && self.spans.len() < SPANS_KEPT {
            self.spans.shrink_to(SPANS_KEPT);
        }
    }

    fn step(&mut self, bytes: &[u8], limits: &Limits) -> Result<Step, ProtocolError> {
        if self.args_left == 0 {
            match bytes.first() {
                None => return Ok(Step::Incomplete),
                Some(b'*') => {}
                Some(_) => return self.inline(bytes, limits),
            }
            let (count, next) = match length(bytes, 1) {
                Length::Is(count, next) => (count, next),
                Length::Partial => return Ok(Step::Incomplete),
                Length::Bad => return Err(ProtocolError::InvalidMultibulkLength),
            };
            if count <= 0 {
                return Ok(Step::Nothing(next));
            }
            self.args_left = usize::try_from(count)
                .ok()
                .filter(|count| *count <= limits.args_max)
                .ok_or(ProtocolError::InvalidMultibulkLength)?;
            self.pos = next;
        }
        while self.args_left > 0 {
            if !self.argument(bytes, limits)? {
                return Ok(Step::Incomplete);
            }
            self.args_left -= 1;
        }
        Ok(Step::Array(std::mem::take(&mut self.pos)))
    }

    /// Reads one argument; `false` if it is not all there.
    fn argument(&mut self, bytes: &[u8], limits: &Limits) -> Result<bool, ProtocolError> {
        let len = match self.body {
            Some(len) => len,
            None => match self.argument_header(bytes, limits)? {
                Some(len) => len,
                None => return Ok(false),
            },
        };
        // Cannot overflow: `argument_header` checked the sum against the request's limit.
        let end = self.pos + len;
        match bytes.get(end..end + 2) {
            None => {
                self.body = Some(len);
                Ok(false)
            }
            Some(b"\r\n") => {
                self.spans.push(self.pos..end);
                self.pos = end + 2;
                self.body = None;
                Ok(true)
            }
            Some(_) => Err(ProtocolError::MissingLineEnd),
        }
    }

    fn argument_header(
        &mut self,
        bytes: &[u8],
        limits: &Limits,
    ) -> Result<Option<usize>, ProtocolError> {
        match bytes.get(self.pos) {
            None => return Ok(None),
            Some(b'$') => {}
            Some(&other) => return Err(ProtocolError::ExpectedBulk(other)),
        }
        let (len, next) = match length(bytes, self.pos + 1) {
            Length::Is(len, next) => (len, next),
            Length::Partial => return Ok(None),
            Length::Bad => return Err(ProtocolError::InvalidBulkLength),
        };
        let len = usize::try_from(len)
            .ok()
            .filter(|len| *len <= limits.bulk_bytes_max)
            .ok_or(ProtocolError::InvalidBulkLength)?;
        let end = next.checked_add(len).and_then(|end| end.checked_add(2));
        if end.is_none_or(|end| end > limits.request_bytes_max) {
            let bytes_max = limits.request_bytes_max;
            return Err(ProtocolError::TooBigRequest { bytes_max });
        }
        self.pos = next;
        Ok(Some(len))
    }

    fn inline(&mut self, bytes: &[u8], limits: &Limits) -> Result<Step, ProtocolError> {
        let unseen = bytes.get(self.pos..).unwrap_or_default();
        let found = unseen.iter().position(|byte| *byte == b'\n');
        let len = found.map_or(bytes.len(), |at| self.pos + at);
        if len > limits.inline_bytes_max {
            return Err(ProtocolError::TooBigInline);
        }
        if found.is_none() {
            self.pos = len;
            return Ok(Step::Incomplete);
        }
        self.pos = 0;
        let line = bytes.get(..len).unwrap_or_default();
        let mut args = inline::split(line.strip_suffix(b"\r").unwrap_or(line))?;
        if args.is_empty() {
            return Ok(Step::Nothing(len + 1));
        }
        let name = args.remove(0);
        Ok(Step::Inline(len + 1, Command { name, args }))
    }
}

#[cfg(test)]
mod tests;
