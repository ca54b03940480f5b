//! Cutting a pipeline into groups that are executed with one call each.

use std::vec;

use bytes::Bytes;

use crate::resp::command::{Lifetime, Set, SetReply, decode};
use crate::resp::special::Place;
use crate::resp::{Command, CommandError, Request};

/// Commands that are executed together. Replies go out in the order of the commands.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Group {
    /// Reads of items, one after the other.
    Gets(Vec<Bytes>),
    /// Writes of items that depend on nothing.
    Sets(Vec<Set>),
    /// Any one command.
    One(Request),
    /// A command that means nothing.
    Refused(CommandError),
}

/// The groups of one batch of commands.
pub(crate) struct Groups {
    commands: vec::IntoIter<Command>,
    /// Decoded, and not part of the group before.
    next: Option<Result<Request, CommandError>>,
}

impl Groups {
    pub(crate) fn new(commands: Vec<Command>) -> Self {
        Groups {
            commands: commands.into_iter(),
            next: None,
        }
    }

    /// The next group; `place` tells what lives under a key. Only items are grouped.
    pub(crate) fn next(&mut self, place: impl Fn(&[u8]) -> Place) -> Option<Group> {
        let is_item = |key: &Bytes| place(key) == Place::Item;
        Some(match self.take()? {
            Err(error) => Group::Refused(error),
            Ok(Request::Get(key)) if is_item(&key) => {
                let mut keys = vec![key];
                loop {
                    match self.take() {
                        Some(Ok(Request::Get(key))) if is_item(&key) => keys.push(key),
                        other => {
                            self.next = other;
                            break Group::Gets(keys);
                        }
                    }
                }
            }
            Ok(Request::Set(set)) if is_plain(&set) && is_item(&set.key) => {
                let mut sets = vec![set];
                loop {
                    match self.take() {
                        Some(Ok(Request::Set(set))) if is_plain(&set) && is_item(&set.key) => {
                            sets.push(set);
                        }
                        other => {
                            self.next = other;
                            break Group::Sets(sets);
                        }
                    }
                }
            }
            Ok(request) => Group::One(request),
        })
    }

    fn take(&mut self) -> Option<Result<Request, CommandError>> {
        match self.next.take() {
            None => self.commands.next().map(decode),
            next => next,
        }
    }
}

/// Whether a SET looks at nothing that was there before.
fn is_plain(set: &Set) -> bool {
    set.condition.is_none() && set.reply == SetReply::Status && set.lifetime != Lifetime::Keep
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(line: &str) -> Command {
        let mut words = line
            .split(' ')
            .map(|word| Bytes::copy_from_slice(word.as_bytes()));
        Command {
            name: words.next().unwrap(),
            args: words.collect(),
        }
    }

    fn shape(lines: &[&str]) -> Vec<(char, usize)> {
        let mut groups = Groups::new(lines.iter().map(|line| command(line)).collect());
        let place = |key: &[u8]| match key {
            b"cdc" => Place::Changes,
            _ => Place::Item,
        };
        std::iter::from_fn(|| groups.next(place))
            .map(|group| match group {
                Group::Gets(keys) => ('g', keys.len()),
                Group::Sets(sets) => ('s', sets.len()),
                Group::One(_) => ('1', 1),
                Group::Refused(_) => ('x', 1),
            })
            .collect()
    }

    #[test]
    fn neighbours_of_one_kind_go_together() {
        let lines = [
            "set a 1",
            "set b 2 ex 5",
            "get a",
            "get b",
            "get cdc",
            "get c",
            "set d 1 nx",
            "set d 1 keepttl",
            "setex d 5 v",
            "set d 2",
            "nonsense",
            "set e 1",
            "ping",
        ];
        let expected = [
            ('s', 2),
            ('g', 2),
            ('1', 1),
            ('g', 1),
            ('1', 1),
            ('1', 1),
            ('s', 2),
            ('x', 1),
            ('s', 1),
            ('1', 1),
        ];
        assert_eq!(shape(&lines), expected);
        assert_eq!(shape(&[]), []);
    }
}
