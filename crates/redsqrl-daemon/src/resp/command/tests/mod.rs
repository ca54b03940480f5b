//! A file for each family of commands; here what they share.

mod any_words;
mod keys;
mod server;
mod session;
mod streams;
mod strings;

use bytes::Bytes;

use super::*;
use crate::resp::inline;

fn command(line: &str) -> Command {
    let mut args = inline::split(line.as_bytes()).unwrap();
    let name = args.remove(0);
    Command { name, args }
}

fn ok(line: &str) -> Request {
    decode(command(line)).unwrap_or_else(|error| panic!("{line}: {error}"))
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn check_refusals(refusals: &[(&str, &str)]) {
    for (line, text) in refusals {
        let error = decode(command(line)).expect_err(line);
        assert_eq!(error.to_string(), *text, "{line}");
    }
}
