//! Inline commands: a line of words, as a person types them into telnet.

use bytes::Bytes;

use super::ProtocolError;

/// Splits a line (without its line end) into arguments. Words are separated by white space;
/// `"…"` knows the escapes `\n \r \t \b \a \xHH` and takes any other escaped byte as it is;
/// `'…'` knows only `\'`. A closing quote ends its word. A line of white space has no arguments.
///
/// # Errors
/// [`ProtocolError::UnbalancedQuotes`] if a quote stays open or a word goes on after it.
pub fn split(line: &[u8]) -> Result<Vec<Bytes>, ProtocolError> {
    let mut args = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_ascii_start();
        if rest.is_empty() {
            return Ok(args);
        }
        let mut word = Vec::new();
        rest = take_word(rest, &mut word)?;
        args.push(Bytes::from(word));
    }
}

fn take_word<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Result<&'a [u8], ProtocolError> {
    while let Some((&byte, tail)) = rest.split_first() {
        match byte {
            b'"' => return ended(take_double_quoted(tail, word)?),
            b'\'' => return ended(take_single_quoted(tail, word)?),
            _ if byte.is_ascii_whitespace() => break,
            _ => word.push(byte),
        }
        rest = tail;
    }
    Ok(rest)
}

/// The rule after a closing quote: white space, or the end of the line.
fn ended(rest: &[u8]) -> Result<&[u8], ProtocolError> {
    match rest.first() {
        Some(byte) if !byte.is_ascii_whitespace() => Err(ProtocolError::UnbalancedQuotes),
        _ => Ok(rest),
    }
}

fn take_double_quoted<'a>(
    mut rest: &'a [u8],
    word: &mut Vec<u8>,
) -> Result<&'a [u8], ProtocolError> {
    loop {
        rest = match rest {
            [b'"', tail @ ..] => return Ok(tail),
            [b'\\', b'x', high, low, tail @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                word.push(hex(*high) << 4 | hex(*low));
                tail
            }
            [b'\\', escaped, tail @ ..] => {
                word.push(unescape(*escaped));
                tail
            }
            [byte, tail @ ..] => {
                word.push(*byte);
                tail
            }
            [] => return Err(ProtocolError::UnbalancedQuotes),
        };
    }
}

fn take_single_quoted<'a>(
    mut rest: &'a [u8],
    word: &mut Vec<u8>,
) -> Result<&'a [u8], ProtocolError> {
    loop {
        rest = match rest {
            [b'\'', tail @ ..] => return Ok(tail),
            [b'\\', b'\'', tail @ ..] => {
                word.push(b'\'');
                tail
            }
            [byte, tail @ ..] => {
                word.push(*byte);
                tail
            }
            [] => return Err(ProtocolError::UnbalancedQuotes),
        };
    }
}

fn unescape(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

/// The value of a hex digit; the caller has checked that it is one.
fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        b'A'..=b'F' => digit - b'A' + 10,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(line: &str) -> Vec<Vec<u8>> {
        split(line.as_bytes())
            .unwrap()
            .iter()
            .map(|word| word.to_vec())
            .collect()
    }

    #[test]
    fn words_quotes_and_escapes() {
        assert_eq!(words("  SET  a\tb "), [&b"SET"[..], b"a", b"b"]);
        assert_eq!(words(r#"x "a b\n\x41\q" ''"#), [&b"x"[..], b"a b\nAq", b""]);
        assert_eq!(words(r"'it\'s \n'"), [&br"it's \n"[..]]);
        assert_eq!(words(r#"pre"fix""#), [&b"prefix"[..]]);
        assert!(words("   ").is_empty());
    }

    #[test]
    fn open_quotes_are_refused() {
        for line in [r#"a "b"#, "a 'b", r#""a"b"#, "'a''b'", r#""a\"#] {
            assert_eq!(
                split(line.as_bytes()),
                Err(ProtocolError::UnbalancedQuotes),
                "{line}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_line_is_split_or_refused(line: Vec<u8>) {
            let _split_or_refused = split(&line);
        }

        #[test]
        fn quoted_bytes_come_back(args in prop::collection::vec(any::<Vec<u8>>(), 1..5)) {
            let mut line = String::new();
            for arg in &args {
                line.push('"');
                for byte in arg {
                    line.push_str(&format!("\\x{byte:02x}"));
                }
                line.push_str("\" ");
            }
            prop_assert_eq!(split(line.as_bytes()).unwrap(), args);
        }
    }
}
