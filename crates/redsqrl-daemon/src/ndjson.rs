//! One item a line: `{"id": …, "content": …}`, or `"content_base64"` for content that cannot stand in a line as it is.
//!
//! The rule: what is written and read again is the same, byte for byte. So JSON stands in a line exactly as it is
//! stored, and only if it has no line breaks and no blanks around it.

use std::borrow::Cow;

use base64::Engine as _;
use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

/// Content as it stands in a line.
#[derive(Serialize)]
pub enum Content<'a> {
    /// A JSON text.
    #[serde(rename = "content")]
    Json(&'a RawValue),
    /// Anything else.
    #[serde(rename = "content_base64", serialize_with = "base64")]
    Base64(&'a [u8]),
}

impl<'a> Content<'a> {
    /// The form that gives these bytes back.
    #[must_use]
    pub fn of(content: &'a [u8]) -> Self {
        let raw = serde_json::from_slice::<&RawValue>(content).ok();
        let exact = raw.filter(|raw| {
            raw.get().len() == content.len()
                && !content.contains(&b'\n')
                && !content.contains(&b'\r')
        });
        match exact {
            Some(raw) => Self::Json(raw),
            None => Self::Base64(content),
        }
    }
}

/// Written as it is made: the text is longer than the content, and is not needed in one piece.
fn base64<S: Serializer>(content: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&Base64Display::new(content, &STANDARD))
}

/// Writes one line, its end included.
///
/// # Errors
/// What the writer says.
pub fn write(id: &str, content: &[u8], out: &mut impl std::io::Write) -> std::io::Result<()> {
    #[derive(Serialize)]
    struct Line<'a> {
        id: &'a str,
        #[serde(flatten)]
        content: Content<'a>,
    }
    let content = Content::of(content);
    serde_json::to_writer(&mut *out, &Line { id, content })?;
    out.write_all(b"\n")
}

/// Why a line is no item.
#[derive(Debug, thiserror::Error)]
pub enum BadLine {
    /// Not the JSON that was expected.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// No content, or two.
    #[error("expected exactly one of `content` and `content_base64`")]
    Content,
    /// The text of `content_base64` is something else.
    #[error("content_base64: {0}")]
    Base64(#[from] base64::DecodeError),
    /// The id cannot be stored.
    #[error("{0}")]
    Id(#[from] sync_engine::InvalidKey),
}

/// Reads one line.
///
/// # Errors
/// What is wrong with it.
pub fn read(line: &[u8]) -> Result<(String, Bytes), BadLine> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Line<'a> {
        id: String,
        #[serde(borrow, default, deserialize_with = "present")]
        content: Option<&'a RawValue>,
        #[serde(borrow)]
        content_base64: Option<Cow<'a, str>>,
    }
    let line: Line<'_> = serde_json::from_slice(line)?;
    sync_engine::Key::parse(line.id.as_bytes())?;
    match (line.content, line.content_base64) {
        (Some(raw), None) => Ok((line.id, Bytes::copy_from_slice(raw.get().as_bytes()))),
        (None, Some(text)) => Ok((line.id, STANDARD.decode(text.as_bytes())?.into())),
        _ => Err(BadLine::Content),
    }
}

/// `null` is content like any other JSON.
fn present<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(id: &str, content: &[u8]) -> Vec<u8> {
        let mut line = Vec::new();
        write(id, content, &mut line).unwrap();
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        let (read_id, read_content) = read(&line).unwrap();
        assert_eq!((read_id.as_str(), &read_content[..]), (id, content));
        line
    }

    #[test]
    fn i7_content_comes_back_bit_for_bit() {
        let json = round_trip("a", br#"{ "b":1 ,"a" : 1.50e3}"#);
        assert_eq!(
            json,
            b"{\"id\":\"a\",\"content\":{ \"b\":1 ,\"a\" : 1.50e3}}\n"
        );
        for odd in [
            &b" {}"[..],
            b"{}\n",
            b"{\"a\":\n1}",
            b"",
            b"\xff\x00",
            b"null ",
            b"\"\r\n\"",
            &b"[".repeat(200),
        ] {
            round_trip("a", odd);
        }
        round_trip("a", b"null");
        round_trip("q\"\\\u{2028}", b"1");
    }

    #[test]
    fn bad_lines_say_what_is_wrong() {
        for (line, part) in [
            (&b"{}"[..], "id"),
            (b"{\"id\":\"a\"}", "exactly one"),
            (
                b"{\"id\":\"a\",\"content\":1,\"content_base64\":\"\"}",
                "exactly one",
            ),
            (b"{\"id\":\"a\",\"content_base64\":\"*\"}", "content_base64"),
            (b"{\"id\":\"\",\"content\":1}", "empty"),
            (b"{\"id\":\"a\",\"contents\":1}", "contents"),
            (b"nonsense", "column"),
            (b"{\"id\":\"a\",\"content\":\"\xff\"}", ""),
        ] {
            let message = read(line).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_round_trip(id in "[^\\p{C}]{1,30}", content: Vec<u8>, json in "[ \\[\\]{}:,\"0-9a-z\\n]{0,20}") {
            round_trip(&id, &content);
            round_trip(&id, json.as_bytes());
        }
    }
}
