//! How many pipelined commands a second one core parses: SET of 64-byte values, and the same
//! with decoding into a typed request.

#![allow(clippy::disallowed_methods, reason = "a bench lives in real time")]

use std::hint::black_box;
use std::time::Instant;

use bytes::BytesMut;
use redsqrl_daemon::resp::command::decode;
use redsqrl_daemon::resp::encode::put_request;
use redsqrl_daemon::resp::{Command, Limits, Parser};

const COMMANDS: usize = 4_000_000;
const PIPELINE: usize = 256;

fn main() {
    let mut pipeline = BytesMut::new();
    for n in 0..PIPELINE {
        let key = format!("uk.nhs.patient.record.{n:06}");
        put_request(&mut pipeline, &[&b"SET"[..], key.as_bytes(), &[b'x'; 64]]);
    }
    measure("parse", &pipeline, |command| {
        black_box(command);
    });
    measure("parse and decode", &pipeline, |command| {
        black_box(decode(command).is_ok());
    });
}

fn measure(name: &str, pipeline: &[u8], mut take: impl FnMut(Command)) {
    let limits = Limits::default();
    let mut parser = Parser::new();
    let mut buf = BytesMut::new();
    let mut commands = Vec::new();
    let mut done = 0;
    let started = Instant::now();
    while done < COMMANDS {
        buf.extend_from_slice(pipeline);
        match parser.parse_batch(&mut buf, &limits, &mut commands) {
            Ok(count) => done += count,
            Err(error) => panic!("{error}"),
        }
        commands.drain(..).for_each(&mut take);
    }
    let seconds = started.elapsed().as_secs_f64();
    let rate = done as f64 / seconds / 1e6;
    println!("{name}: {rate:.1} M commands/s");
}
