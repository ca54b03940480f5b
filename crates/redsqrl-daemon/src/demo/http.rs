//! The least of HTTP/1.1: one request, one connection, one answer that the node ends by closing.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest answer, in bytes: some more than the largest payload.
const ANSWER_BYTES_MAX: u64 = 32 << 20;

/// What a node answered.
#[derive(Debug)]
pub struct Answer {
    /// 200 and the like.
    pub status: u16,
    /// The head, in lower case but for the values.
    headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// The value of a header; `name` in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as JSON; null when it is something else.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// Asks `method path`, with a body or without, and waits at most `limit` for the whole answer.
///
/// # Errors
/// The connection's, `TimedOut`, or `InvalidData` for an answer that is no HTTP.
pub async fn ask(
    at: SocketAddr,
    method: &str,
    path: &str,
    body: &[u8],
    limit: Duration,
) -> std::io::Result<Answer> {
    let exchange = async {
        let mut stream = TcpStream::connect(at).await?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let mut request = head.into_bytes();
        request.extend_from_slice(body);
        stream.write_all(&request).await?;
        let mut answer = Vec::new();
        stream
            .take(ANSWER_BYTES_MAX)
            .read_to_end(&mut answer)
            .await?;
        parse(&answer)
    };
    tokio::time::timeout(limit, exchange).await?
}

/// The path of an item, its id percent-encoded.
#[must_use]
pub fn item_path(id: &str) -> String {
    let mut path = String::from("/v1/items/");
    for byte in id.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' => {
                path.push(char::from(byte))
            }
            _ => path.push_str(&format!("%{byte:02X}")),
        }
    }
    path
}

fn parse(answer: &[u8]) -> std::io::Result<Answer> {
    let wrong = |what: &str| std::io::Error::new(std::io::ErrorKind::InvalidData, what.to_string());
    let end = answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .ok_or_else(|| wrong("no end of the head"))?;
    let (head, body) = answer.split_at(end);
    let head = std::str::from_utf8(head).map_err(|_| wrong("a head that is no text"))?;
    let mut lines = head.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let status = first
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3)?.parse().ok());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_string()))
        .collect();
    let answer = Answer {
        status: status.ok_or_else(|| wrong("no status line"))?,
        headers,
        body: Bytes::copy_from_slice(body.get(4..).unwrap_or_default()),
    };
    let length = answer.header("content-length");
    let length: Option<usize> = length.and_then(|length| length.parse().ok());
    match length {
        Some(length) if answer.body.len() != length => Err(wrong("a body cut short")),
        _ => Ok(answer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let answer =
            parse(b"HTTP/1.1 200 OK\r\nX-Redsqrl-Stamp: 1.2@ff\r\nContent-Length: 2\r\n\r\n\xff\n")
                .unwrap();
        assert_eq!(
            (
                answer.status,
                answer.header("x-redsqrl-stamp"),
                &answer.body[..]
            ),
            (200, Some("1.2@ff"), &b"\xff\n"[..])
        );
        assert_eq!(
            parse(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap().status,
            204
        );
        for wrong in [
            &b""[..],
            b"HTTP/1.1 200 OK\r\n",
            b"SSH-2.0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab",
        ] {
            assert!(parse(wrong).is_err());
        }
    }

    #[test]
    fn ids_are_encoded() {
        assert_eq!(item_path("geo.ad-1_x"), "/v1/items/geo.ad-1_x");
        assert_eq!(item_path("a/b 東%"), "/v1/items/a%2Fb%20%E6%9D%B1%25");
    }
}
