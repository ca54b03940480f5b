//! One request, one connection, one answer.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};

use super::PATIENCE;
use super::answer::Answer;

pub fn ask(port: u16, method: &str, path: &str, body: &[u8]) -> io::Result<Answer> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
    )?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Answer::parse(answer).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}
