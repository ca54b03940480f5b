//! The replies of COMMAND: the table, told to clients.

use bytes::Bytes;

use super::{CommandQuery, CommandSpec, TABLE, find};
use crate::resp::Reply;

/// Answers COMMAND. Documentation is not kept: DOCS is an empty map.
pub fn answer(reply: &mut Reply<'_>, query: &CommandQuery) {
    match query {
        CommandQuery::Count => reply.count(TABLE.len()),
        CommandQuery::Docs(_) => reply.map(0),
        CommandQuery::List => {
            reply.array(TABLE.len());
            TABLE
                .iter()
                .for_each(|spec| reply.bulk(spec.name.as_bytes()));
        }
        CommandQuery::Info(names) if !names.is_empty() => some(reply, names),
        CommandQuery::All | CommandQuery::Info(_) => {
            reply.array(TABLE.len());
            TABLE.iter().for_each(|spec| one(reply, spec));
        }
    }
}

fn some(reply: &mut Reply<'_>, names: &[Bytes]) {
    reply.array(names.len());
    for name in names {
        match find(name) {
            Some(spec) => one(reply, spec),
            None => reply.null_array(),
        }
    }
}

/// Ten values: name, arity, flags, first key, last key, step, and four lists left empty (access
/// categories, tips, key specifications, subcommands).
fn one(reply: &mut Reply<'_>, spec: &CommandSpec) {
    reply.array(10);
    reply.bulk(spec.name.as_bytes());
    reply.integer(spec.arity.into());
    reply.set(spec.flags.len());
    spec.flags.iter().for_each(|flag| reply.simple(flag));
    let (first, last, step) = spec.keys;
    for position in [first, last, step] {
        reply.integer(position.into());
    }
    reply.set(0);
    (0..3).for_each(|_| reply.array(0));
}
