//! A private Redis: real, isolated, stoppable, and gone with its owner.
#![allow(clippy::disallowed_methods)]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use testbed::{RedisServer, TestbedError};

/// One inline command over TCP, as any client of the URL would; the first line of the answer.
fn ask(addr: SocketAddr, command: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(addr)?;
    ask_on(&mut stream, command)
}

fn ask_on(stream: &mut TcpStream, command: &str) -> std::io::Result<String> {
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    stream.write_all(format!("{command}\r\n").as_bytes())?;
    let mut line = String::new();
    BufReader::new(&mut *stream).read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

#[test]
fn servers_are_isolated_and_flushable() {
    let one = RedisServer::start().unwrap();
    let other = RedisServer::start().unwrap();
    assert_ne!(one.port(), other.port());
    assert_eq!(one.url(), format!("redis://127.0.0.1:{}", one.port()));
    assert_eq!(ask(one.addr(), "SET a 1").unwrap(), "+OK");
    assert_eq!(ask(other.addr(), "EXISTS a").unwrap(), ":0");
    one.flush_all().unwrap();
    assert_eq!(ask(one.addr(), "EXISTS a").unwrap(), ":0");
}

#[test]
fn a_killed_server_refuses_and_a_restarted_one_answers_on_the_same_port() {
    let redis = RedisServer::start().unwrap();
    assert_eq!(ask(redis.addr(), "SET a 1").unwrap(), "+OK");
    redis.kill().unwrap();
    redis.kill().unwrap();
    assert!(ask(redis.addr(), "PING").is_err());
    assert!(matches!(
        redis.pause(),
        Err(TestbedError::NotRunning { .. })
    ));
    redis.restart().unwrap();
    assert_eq!(ask(redis.addr(), "EXISTS a").unwrap(), ":0");
    redis.restart().unwrap(); // also while it runs
    assert_eq!(ask(redis.addr(), "PING").unwrap(), "+PONG");
}

#[test]
fn options_win_over_the_defaults_and_the_directory_outlives_a_crash() {
    let options = ["--appendonly", "yes", "--appendfsync", "always"];
    let redis = RedisServer::start_with(&options).unwrap();
    assert_eq!(ask(redis.addr(), "SET a 1").unwrap(), "+OK");
    redis.kill().unwrap();
    redis.restart().unwrap();
    assert_eq!(ask(redis.addr(), "EXISTS a").unwrap(), ":1");
}

#[test]
fn a_server_with_a_password_starts() {
    let redis = RedisServer::start_with(&["--requirepass", "x"]).unwrap();
    assert!(ask(redis.addr(), "GET a").unwrap().starts_with("-NOAUTH"));
    assert!(matches!(
        redis.flush_all(),
        Err(TestbedError::Answer { .. })
    ));
}

#[test]
fn a_server_that_does_not_start_shows_its_log() {
    let error = RedisServer::start_with(&["--no-such-option", "1"])
        .err()
        .unwrap();
    assert!(error.to_string().contains("no-such-option"), "{error}");
}

#[test]
fn a_paused_server_is_silent_and_a_resumed_one_answers_late() {
    let redis = RedisServer::start().unwrap();
    let mut stream = TcpStream::connect(redis.addr()).unwrap();
    assert_eq!(ask_on(&mut stream, "PING").unwrap(), "+PONG");
    redis.pause().unwrap();
    stream
        .set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    stream.write_all(b"PING\r\n").unwrap();
    assert!(stream.read(&mut [0; 16]).is_err(), "nothing answers");
    redis.resume().unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let mut answer = [0; 7];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"+PONG\r\n");
}

#[test]
fn a_paused_server_ends_with_its_owner() {
    let redis = RedisServer::start().unwrap();
    let addr = redis.addr();
    redis.pause().unwrap();
    drop(redis);
    assert!(TcpStream::connect(addr).is_err());
}

#[test]
fn a_server_ends_with_a_panicking_test() {
    let (tell, told) = std::sync::mpsc::channel();
    let test = thread::spawn(move || {
        let redis = RedisServer::start().unwrap();
        tell.send(redis.addr()).unwrap();
        panic!("this panic is part of the test");
    });
    let addr = told.recv().unwrap();
    assert!(test.join().is_err());
    assert!(TcpStream::connect(addr).is_err());
}

#[test]
fn a_server_outlives_the_thread_that_started_it() {
    let redis = thread::spawn(|| RedisServer::start().unwrap())
        .join()
        .unwrap();
    thread::sleep(Duration::from_millis(100));
    assert_eq!(ask(redis.addr(), "PING").unwrap(), "+PONG");
}

/// Where the kernel can be asked to (Linux), a server ends even when its owner is killed and nothing is dropped.
#[cfg(target_os = "linux")]
#[test]
fn a_server_ends_with_a_killed_process() {
    let dir = tempfile::tempdir().unwrap(); // takes what the killed process leaves behind
    let mut owner = Command::new(env!("CARGO_BIN_EXE_testbed"))
        .arg("redis")
        .env("TMPDIR", dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut url = String::new();
    BufReader::new(owner.stdout.take().unwrap())
        .read_line(&mut url)
        .unwrap();
    let addr: SocketAddr = url
        .trim()
        .strip_prefix("redis://")
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(ask(addr, "PING").unwrap(), "+PONG");
    owner.kill().unwrap();
    owner.wait().unwrap();
    let since = Instant::now();
    while TcpStream::connect(addr).is_ok() {
        assert!(since.elapsed() < Duration::from_secs(60), "still there");
        thread::sleep(Duration::from_millis(10));
    }
}
