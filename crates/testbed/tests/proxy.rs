//! The faulty network, fault by fault, in front of an echo server.
#![allow(clippy::disallowed_methods)]

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use testbed::{Fault, FaultyProxy, RedisServer};

const SHORT: Duration = Duration::from_millis(500);
const LONG: Duration = Duration::from_secs(60);

/// Sends back what it gets. Its thread ends with the test process.
fn echo_server() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut reader = stream.unwrap();
            let mut writer = reader.try_clone().unwrap();
            thread::spawn(move || {
                // A connection that is cut ends the copy with an error, as it should.
                if io::copy(&mut reader, &mut writer).is_ok() {
                    writer.shutdown(Shutdown::Write).ok();
                }
            });
        }
    });
    addr
}

fn proxy() -> FaultyProxy {
    FaultyProxy::start(echo_server()).unwrap()
}

fn connect(proxy: &FaultyProxy) -> TcpStream {
    let stream = TcpStream::connect(proxy.addr()).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream
}

fn echoes(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).unwrap();
    receives(stream, text);
}

fn receives(stream: &mut TcpStream, text: &str) {
    let mut back = vec![0; text.len()];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(back, text.as_bytes());
}

fn is_silent(stream: &mut TcpStream) {
    stream.set_read_timeout(Some(SHORT)).unwrap();
    let kind = stream.read(&mut [0; 1]).unwrap_err().kind();
    assert!(matches!(
        kind,
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    ));
    stream.set_read_timeout(Some(LONG)).unwrap();
}

/// Bytes are counted a moment after they have come.
fn counted(proxy: &FaultyProxy, to_server: u64, to_client: u64) {
    let since = Instant::now();
    let counts = || (proxy.bytes_to_server(), proxy.bytes_to_client());
    while counts() != (to_server, to_client) {
        assert!(since.elapsed() < LONG, "{:?}", counts());
        thread::sleep(Duration::from_millis(5));
    }
}

fn is_closed(stream: &mut TcpStream) {
    match stream.read(&mut [0; 1]) {
        Ok(length) => assert_eq!(length, 0),
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
    }
}

#[test]
fn bytes_pass_and_are_counted() {
    let proxy = proxy();
    let mut stream = connect(&proxy);
    echoes(&mut stream, "hello");
    counted(&proxy, 5, 5);

    let big: Vec<u8> = (0..4 << 20).map(|n: u32| n as u8).collect();
    let mut writer = stream.try_clone().unwrap();
    let sent = big.clone();
    let writing = thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut back = Vec::new();
    stream.read_to_end(&mut back).unwrap(); // the end of a stream passes too
    writing.join().unwrap();
    assert!(back == big);
    let all = 5 + big.len() as u64;
    counted(&proxy, all, all);
}

#[test]
fn cut_refuses_new_connections_and_drops_open_ones() {
    let proxy = proxy();
    let mut stream = connect(&proxy);
    echoes(&mut stream, "a");
    proxy.set(Fault::Cut).unwrap();
    is_closed(&mut stream);
    let refused = TcpStream::connect(proxy.addr()).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    proxy.set(Fault::Cut).unwrap();
    proxy.set(Fault::Pass).unwrap();
    echoes(&mut connect(&proxy), "b");
}

#[test]
fn a_stall_holds_bytes_and_loses_none() {
    let proxy = proxy();
    let mut old = connect(&proxy);
    echoes(&mut old, "a");
    proxy.set(Fault::Stall).unwrap();
    let mut new = connect(&proxy);
    old.write_all(b"held").unwrap();
    new.write_all(b"too").unwrap();
    is_silent(&mut old);
    is_silent(&mut new);
    counted(&proxy, 1, 1);
    proxy.set(Fault::Pass).unwrap();
    receives(&mut old, "held");
    receives(&mut new, "too");
}

#[test]
fn a_delay_counts_each_way_and_does_not_add_up() {
    let proxy = proxy();
    let mut stream = connect(&proxy);
    let delay = Duration::from_secs(1);
    proxy.set(Fault::Delay(delay)).unwrap();
    let since = Instant::now();
    for n in 0..5 {
        stream.write_all(&[b'0' + n]).unwrap();
        thread::sleep(Duration::from_millis(10));
    }
    receives(&mut stream, "01234");
    let took = since.elapsed();
    assert!(took >= 2 * delay, "{took:?}");
    assert!(took < 6 * delay, "the delays added up: {took:?}");
    proxy.set(Fault::Pass).unwrap();
    let since = Instant::now();
    echoes(&mut stream, "fast");
    assert!(since.elapsed() < delay, "{:?}", since.elapsed());
}

#[test]
fn drop_to_server_loses_requests_and_then_the_connection() {
    let proxy = proxy();
    let mut lossy = connect(&proxy);
    let mut lucky = connect(&proxy);
    echoes(&mut lossy, "a");
    echoes(&mut lucky, "a");
    proxy.set(Fault::DropToServer).unwrap();
    lossy.write_all(b"lost").unwrap();
    is_silent(&mut lossy);
    counted(&proxy, 2, 2);
    proxy.set(Fault::Pass).unwrap();
    is_closed(&mut lossy);
    echoes(&mut lucky, "lost nothing");
}

#[test]
fn drop_to_client_loses_answers_to_requests_that_arrived() {
    let redis = RedisServer::start().unwrap();
    let proxy = FaultyProxy::start(redis.addr()).unwrap();
    assert_eq!(proxy.url(&redis.url()), format!("redis://{}", proxy.addr()));
    let mut stream = connect(&proxy);
    proxy.set(Fault::DropToClient).unwrap();
    stream.write_all(b"SET a 1\r\n").unwrap();
    counted(&proxy, 9, 0);
    is_silent(&mut stream);
    counted(&proxy, 9, 0);
    proxy.set(Fault::Pass).unwrap();
    is_closed(&mut stream);
    let mut stream = connect(&proxy);
    stream.write_all(b"EXISTS a\r\n").unwrap();
    receives(&mut stream, ":1\r\n");
}

#[test]
fn a_dead_upstream_closes_the_connection() {
    let redis = RedisServer::start().unwrap();
    let proxy = FaultyProxy::start(redis.addr()).unwrap();
    let mut open = connect(&proxy);
    open.write_all(b"PING\r\n").unwrap();
    receives(&mut open, "+PONG\r\n");
    redis.kill().unwrap();
    is_closed(&mut open);
    is_closed(&mut connect(&proxy));
}

#[test]
fn everything_ends_with_the_proxy() {
    let proxy = proxy();
    let mut stream = connect(&proxy);
    echoes(&mut stream, "a");
    let addr = proxy.addr();
    drop(proxy);
    is_closed(&mut stream);
    assert!(TcpStream::connect(addr).is_err());
}

#[tokio::test]
async fn it_can_be_used_within_a_runtime() {
    let proxy = proxy();
    proxy.set(Fault::Cut).unwrap();
    assert!(tokio::net::TcpStream::connect(proxy.addr()).await.is_err());
}
