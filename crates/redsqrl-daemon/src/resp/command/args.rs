//! Walking through the arguments of a command.

use std::vec;

use bytes::Bytes;

use super::CommandError;

/// The arguments not looked at yet. A missing one is a syntax error: the number of required
/// arguments has been checked before.
#[derive(Debug)]
pub struct Args {
    rest: vec::IntoIter<Bytes>,
}

impl Args {
    pub fn new(args: Vec<Bytes>) -> Self {
        Args {
            rest: args.into_iter(),
        }
    }

    /// How many are left.
    pub fn len(&self) -> usize {
        self.rest.len()
    }

    /// The next one, which must be there.
    pub fn take(&mut self) -> Result<Bytes, CommandError> {
        self.rest.next().ok_or(CommandError::Syntax)
    }

    /// The next one, a number.
    pub fn integer(&mut self) -> Result<i64, CommandError> {
        integer(&self.take()?)
    }

    /// The next one, if there is one.
    pub fn option(&mut self) -> Option<Bytes> {
        self.rest.next()
    }

    /// All that are left.
    pub fn rest(self) -> Vec<Bytes> {
        self.rest.collect()
    }

    /// All that are left, two by two; `None` if one stays over.
    pub fn pairs(mut self) -> Option<Vec<(Bytes, Bytes)>> {
        let mut pairs = Vec::with_capacity(self.len() / 2);
        while let Some(first) = self.rest.next() {
            pairs.push((first, self.rest.next()?));
        }
        Some(pairs)
    }

    /// Nothing may be left.
    pub fn end(mut self) -> Result<(), CommandError> {
        match self.option() {
            None => Ok(()),
            Some(_) => Err(CommandError::Syntax),
        }
    }

    /// Exactly `len` must be left, or the arity of `name` is wrong.
    pub fn exactly(&self, len: usize, name: &'static str) -> Result<(), CommandError> {
        if self.len() == len {
            Ok(())
        } else {
            Err(CommandError::WrongArity(name))
        }
    }
}

/// Whether `arg` is `word`, in any case.
pub fn is(arg: &[u8], word: &str) -> bool {
    arg.eq_ignore_ascii_case(word.as_bytes())
}

/// A number as Redis takes it: decimal, a minus if negative, no plus, no leading zero, no space.
pub fn integer(text: &[u8]) -> Result<i64, CommandError> {
    let canonical = match text {
        [b'0'] | [b'1'..=b'9', ..] | [b'-', b'1'..=b'9', ..] => std::str::from_utf8(text).ok(),
        _ => None,
    };
    canonical
        .and_then(|text| text.parse().ok())
        .ok_or(CommandError::NotAnInteger)
}
