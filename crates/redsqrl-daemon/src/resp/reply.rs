//! Replies: what the client reads.

use bytes::{BufMut, Bytes, BytesMut};

use super::pieces::Pieces;

/// The protocol version of a connection. Every connection begins with [`Proto::Resp2`];
/// `HELLO 3` changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Proto {
    /// Version 2.
    #[default]
    Resp2,
    /// Version 3: maps, sets, doubles, booleans and one null.
    Resp3,
}

/// Writes replies to the end of a buffer, in the words of the connection's protocol version.
///
/// The rule: one call writes one value whole; after [`Reply::array`] or [`Reply::set`] of `n`
/// the caller writes `n` values, after [`Reply::map`] of `n` it writes `n` keys and `n` values.
#[derive(Debug)]
pub struct Reply<'a> {
    out: &'a mut Pieces,
    proto: Proto,
}

impl<'a> Reply<'a> {
    /// A writer that appends to `out`.
    pub fn new(out: &'a mut Pieces, proto: Proto) -> Self {
        Reply { out, proto }
    }

    /// The version written.
    #[must_use]
    pub fn proto(&self) -> Proto {
        self.proto
    }

    /// `+OK`
    pub fn ok(&mut self) {
        self.out.tail().extend_from_slice(b"+OK\r\n");
    }

    /// A simple string. Line ends in it become spaces: they would end the reply.
    pub fn simple(&mut self, text: &str) {
        self.line(b'+', text);
    }

    /// An error. `text` begins with its code (`ERR …`, `OOM …`); line ends become spaces.
    pub fn error(&mut self, text: &str) {
        self.line(b'-', text);
    }

    /// An integer.
    pub fn integer(&mut self, value: i64) {
        if value < 0 {
            self.out.tail().extend_from_slice(b":-");
            put_digits(self.out.tail(), value.unsigned_abs());
        } else {
            self.out.tail().put_u8(b':');
            put_digits(self.out.tail(), value.unsigned_abs());
        }
        self.out.tail().extend_from_slice(b"\r\n");
    }

    /// A count, as an integer; past `i64::MAX` it stays there.
    pub fn count(&mut self, value: usize) {
        self.integer(i64::try_from(value).unwrap_or(i64::MAX));
    }

    /// A bulk string: any bytes.
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.out.tail().reserve(bytes.len().saturating_add(32));
        put_header(self.out.tail(), b'$', bytes.len());
        self.out.tail().extend_from_slice(bytes);
        self.out.tail().extend_from_slice(b"\r\n");
    }

    /// A bulk string that is not copied if it is long.
    pub fn value(&mut self, bytes: &Bytes) {
        put_header(self.out.tail(), b'$', bytes.len());
        self.out.share(bytes);
        self.out.tail().extend_from_slice(b"\r\n");
    }

    /// No value, where a value could stand.
    pub fn null(&mut self) {
        self.by_version(b"$-1\r\n", b"_\r\n");
    }

    /// No array, where an array could stand (XREAD without news).
    pub fn null_array(&mut self) {
        self.by_version(b"*-1\r\n", b"_\r\n");
    }

    /// The head of an array of `len` values.
    pub fn array(&mut self, len: usize) {
        put_header(self.out.tail(), b'*', len);
    }

    /// The head of a map of `len` pairs; in version 2 an array of twice as many values.
    pub fn map(&mut self, len: usize) {
        match self.proto {
            Proto::Resp2 => put_header(self.out.tail(), b'*', len.saturating_mul(2)),
            Proto::Resp3 => put_header(self.out.tail(), b'%', len),
        }
    }

    /// The head of a set of `len` values; in version 2 an array.
    pub fn set(&mut self, len: usize) {
        match self.proto {
            Proto::Resp2 => put_header(self.out.tail(), b'*', len),
            Proto::Resp3 => put_header(self.out.tail(), b'~', len),
        }
    }

    /// A double; in version 2 a bulk string of its digits.
    pub fn double(&mut self, value: f64) {
        let text = double_text(value);
        match self.proto {
            Proto::Resp2 => self.bulk(text.as_bytes()),
            Proto::Resp3 => self.line(b',', &text),
        }
    }

    /// A boolean; in version 2 the integers 1 and 0.
    pub fn boolean(&mut self, value: bool) {
        if value {
            self.by_version(b":1\r\n", b"#t\r\n");
        } else {
            self.by_version(b":0\r\n", b"#f\r\n");
        }
    }

    fn by_version(&mut self, resp2: &[u8], resp3: &[u8]) {
        self.out.tail().extend_from_slice(match self.proto {
            Proto::Resp2 => resp2,
            Proto::Resp3 => resp3,
        });
    }

    fn line(&mut self, kind: u8, text: &str) {
        self.out.tail().reserve(text.len().saturating_add(3));
        self.out.tail().put_u8(kind);
        for &byte in text.as_bytes() {
            self.out.tail().put_u8(match byte {
                b'\r' | b'\n' => b' ',
                other => other,
            });
        }
        self.out.tail().extend_from_slice(b"\r\n");
    }
}

/// Appends a type byte, a length and a line end.
pub(super) fn put_header(out: &mut BytesMut, kind: u8, len: usize) {
    out.put_u8(kind);
    put_digits(out, len as u64);
    out.extend_from_slice(b"\r\n");
}

fn put_digits(out: &mut BytesMut, value: u64) {
    if value < 10 {
        out.put_u8(b'0' + value as u8);
        return;
    }
    let mut digits = [0u8; 20];
    let mut rest = value;
    let mut used = 0;
    for slot in digits.iter_mut().rev() {
        *slot = b'0' + (rest % 10) as u8;
        rest /= 10;
        used += 1;
        if rest == 0 {
            break;
        }
    }
    // `used` counts the slots just written, at most all 20 of them.
    out.extend_from_slice(digits.split_at(digits.len() - used).1);
}

fn double_text(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-7..1e17).contains(&magnitude) {
        return format!("{value:e}");
    }
    format!("{value}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(proto: Proto, write: impl FnOnce(&mut Reply<'_>)) -> Vec<u8> {
        let mut out = Pieces::default();
        write(&mut Reply::new(&mut out, proto));
        out.to_vec()
    }

    #[test]
    fn both_versions_of_every_value() {
        type Case = (fn(&mut Reply<'_>), &'static str, &'static str);
        let cases: [Case; 15] = [
            (|r| r.ok(), "+OK\r\n", "+OK\r\n"),
            (|r| r.simple("PONG"), "+PONG\r\n", "+PONG\r\n"),
            (|r| r.error("ERR no"), "-ERR no\r\n", "-ERR no\r\n"),
            (
                |r| r.bulk(b"a\r\nb"),
                "$4\r\na\r\nb\r\n",
                "$4\r\na\r\nb\r\n",
            ),
            (
                |r| r.value(&Bytes::from_static(b"v")),
                "$1\r\nv\r\n",
                "$1\r\nv\r\n",
            ),
            (|r| r.null(), "$-1\r\n", "_\r\n"),
            (|r| r.null_array(), "*-1\r\n", "_\r\n"),
            (|r| r.array(3), "*3\r\n", "*3\r\n"),
            (|r| r.map(12), "*24\r\n", "%12\r\n"),
            (|r| r.set(2), "*2\r\n", "~2\r\n"),
            (|r| r.double(1.5), "$3\r\n1.5\r\n", ",1.5\r\n"),
            (
                |r| r.double(f64::NEG_INFINITY),
                "$4\r\n-inf\r\n",
                ",-inf\r\n",
            ),
            (|r| r.double(1e300), "$5\r\n1e300\r\n", ",1e300\r\n"),
            (|r| r.boolean(true), ":1\r\n", "#t\r\n"),
            (|r| r.boolean(false), ":0\r\n", "#f\r\n"),
        ];
        for (write, resp2, resp3) in cases {
            assert_eq!(written(Proto::Resp2, write), resp2.as_bytes());
            assert_eq!(written(Proto::Resp3, write), resp3.as_bytes());
        }
    }

    #[test]
    fn an_error_cannot_smuggle_a_second_reply() {
        let bytes = written(Proto::Resp2, |r| r.error("ERR a\r\n+OK\r\n"));
        assert_eq!(bytes, b"-ERR a  +OK  \r\n");
    }

    proptest! {
        #[test]
        fn integers_read_back(value: i64) {
            let bytes = written(Proto::Resp2, |r| r.integer(value));
            prop_assert_eq!(String::from_utf8(bytes).unwrap(), format!(":{value}\r\n"));
        }

        #[test]
        fn doubles_read_back(value: f64) {
            let read: f64 = double_text(value).parse().unwrap();
            prop_assert!(read == value || (read.is_nan() && value.is_nan()));
        }
    }
}
