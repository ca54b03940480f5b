//! Patterns of SCAN MATCH: `*`, `?`, `[a-z]`, `[^x]`, and `\` before a byte that means itself.

use bytes::Bytes;

/// A pattern. Any bytes are one: an open `[` is closed by the end, a last `\` means itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    pattern: Bytes,
}

/// What stands at one place of a pattern, and how many bytes it takes there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    /// `*`
    Star,
    /// `?`
    Any,
    /// This byte.
    Byte(u8),
    /// `[…]`
    Class,
}

impl Glob {
    /// Takes a pattern.
    #[must_use]
    pub fn new(pattern: Bytes) -> Self {
        Glob { pattern }
    }

    /// Whether the pattern matches all of `text`. Time is at most pattern length × text length:
    /// after a mismatch only the last `*` is tried again.
    #[must_use]
    pub fn matches(&self, text: &[u8]) -> bool {
        let mut pattern: &[u8] = &self.pattern;
        let mut text = text;
        let mut retry: Option<(&[u8], &[u8])> = None;
        loop {
            match first(pattern) {
                Some((Piece::Star, rest)) => {
                    pattern = rest;
                    retry = Some((rest, text));
                    continue;
                }
                None if text.is_empty() => return true,
                _ => {}
            }
            if let Some((pattern_rest, text_rest)) = one(pattern, text) {
                (pattern, text) = (pattern_rest, text_rest);
                continue;
            }
            // Let the last star take one byte more.
            let Some((after_star, [_, longer @ ..])) = retry else {
                return false;
            };
            (pattern, text) = (after_star, longer);
            retry = Some((after_star, longer));
        }
    }

    /// What every match begins with, escapes undone: the range of keys worth scanning. Empty if
    /// the pattern begins with `*`, `?` or `[`.
    #[must_use]
    pub fn literal_prefix(&self) -> Vec<u8> {
        let mut prefix = Vec::new();
        let mut pattern: &[u8] = &self.pattern;
        while let Some((Piece::Byte(byte), rest)) = first(pattern) {
            prefix.push(byte);
            pattern = rest;
        }
        prefix
    }

    /// The only text that matches, if the pattern has no `*`, `?` or `[`.
    #[must_use]
    pub fn literal(&self) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        let mut pattern: &[u8] = &self.pattern;
        while let Some((piece, rest)) = first(pattern) {
            let Piece::Byte(byte) = piece else {
                return None;
            };
            text.push(byte);
            pattern = rest;
        }
        Some(text)
    }
}

/// The first piece of a pattern and what follows it. Of a class, what follows its `[`.
fn first(pattern: &[u8]) -> Option<(Piece, &[u8])> {
    match pattern {
        [] => None,
        [b'*', rest @ ..] => Some((Piece::Star, rest)),
        [b'?', rest @ ..] => Some((Piece::Any, rest)),
        [b'[', rest @ ..] => Some((Piece::Class, rest)),
        [b'\\', byte, rest @ ..] | [byte, rest @ ..] => Some((Piece::Byte(*byte), rest)),
    }
}

/// Matches one piece, not a star, with one byte; both remainders if it matches.
fn one<'a, 'b>(pattern: &'a [u8], text: &'b [u8]) -> Option<(&'a [u8], &'b [u8])> {
    let (&byte, text_rest) = text.split_first()?;
    let (matched, rest) = match first(pattern)? {
        (Piece::Star, _) => return None,
        (Piece::Any, rest) => (true, rest),
        (Piece::Byte(wanted), rest) => (wanted == byte, rest),
        (Piece::Class, rest) => class(rest, byte),
    };
    matched.then_some((rest, text_rest))
}

/// Whether `byte` is in the class whose `[` has just been passed, and what follows its `]`.
fn class(pattern: &[u8], byte: u8) -> (bool, &[u8]) {
    let (negated, mut rest) = match pattern {
        [b'^', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let mut found = false;
    loop {
        rest = match rest {
            [] => return (found != negated, rest),
            [b']', rest @ ..] => return (found != negated, rest),
            [b'\\', escaped, rest @ ..] => {
                found |= *escaped == byte;
                rest
            }
            [low, b'-', high, rest @ ..] => {
                let (low, high) = (low.min(high), low.max(high));
                found |= (*low..=*high).contains(&byte);
                rest
            }
            [member, rest @ ..] => {
                found |= *member == byte;
                rest
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn glob(pattern: &[u8]) -> Glob {
        Glob::new(Bytes::copy_from_slice(pattern))
    }

    #[test]
    fn the_patterns_of_redis() {
        let cases: &[(&str, &str, bool)] = &[
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("h*llo", "heeeello", true),
            ("h[ae]llo", "hallo", true),
            ("h[ae]llo", "hillo", false),
            ("h[^e]llo", "hello", false),
            ("h[^e]llo", "hbllo", true),
            ("h[a-b]llo", "hbllo", true),
            ("h[b-a]llo", "hallo", true),
            (r"h\?llo", "h?llo", true),
            (r"h\?llo", "hello", false),
            (r"[\]]", "]", true),
            ("[]x]", "x]", false),
            ("[abc", "c", true),
            (r"a\", r"a\", true),
            ("*a*b*c", "xxaxxbxxc", true),
            ("*a*b*c", "xxaxxbxxcx", false),
            ("uk.nhs.*.record", "uk.nhs.patient.record", true),
            ("a**b", "ab", true),
        ];
        for (pattern, text, expected) in cases {
            let got = glob(pattern.as_bytes()).matches(text.as_bytes());
            assert_eq!(got, *expected, "{pattern} {text}");
        }
    }

    #[test]
    fn many_stars_take_no_exponential_time() {
        let pattern = "*a".repeat(200);
        let text = format!("{}b", "a".repeat(20_000));
        assert!(!glob(pattern.as_bytes()).matches(text.as_bytes()));
    }

    #[test]
    fn prefixes() {
        let prefix = |pattern: &str| glob(pattern.as_bytes()).literal_prefix();
        assert_eq!(prefix("uk.nhs.*"), b"uk.nhs.");
        assert_eq!(prefix(r"a\*b?c"), b"a*b");
        assert_eq!(prefix("[a]b"), b"");
        assert_eq!(glob(br"a\*b").literal(), Some(b"a*b".to_vec()));
        assert_eq!(glob(b"ab*").literal(), None);
    }

    /// The meaning by recursion, exponential and plain.
    fn plain(pattern: &[u8], text: &[u8]) -> bool {
        match first(pattern) {
            None => text.is_empty(),
            Some((Piece::Star, rest)) => (0..=text.len()).any(|taken| plain(rest, &text[taken..])),
            Some(_) => one(pattern, text).is_some_and(|(pattern, text)| plain(pattern, text)),
        }
    }

    proptest! {
        #[test]
        fn agrees_with_plain_recursion(pattern in "[ab*?\\[\\]^\\\\-]{0,9}", text in "[ab\\[\\]-]{0,9}") {
            let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
            let matched = glob(pattern).matches(text);
            prop_assert_eq!(matched, plain(pattern, text));
            if matched {
                prop_assert!(text.starts_with(&glob(pattern).literal_prefix()));
            }
            if let Some(literal) = glob(pattern).literal() {
                prop_assert_eq!(matched, literal == text);
            }
        }

        #[test]
        fn any_pattern_matches_or_not(pattern: Vec<u8>, text: Vec<u8>) {
            let _matched_or_not = glob(&pattern).matches(&text);
        }
    }
}
