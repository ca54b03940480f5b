use proptest::prelude::*;

use super::*;
use crate::resp::encode::put_request;

fn limits() -> Limits {
    Limits {
        bulk_bytes_max: 64,
        args_max: 8,
        request_bytes_max: 200,
        inline_bytes_max: 32,
        batch_commands_max: 4,
    }
}

type Plain = Vec<Vec<u8>>;

fn plain(command: &Command) -> Plain {
    let mut words = vec![command.name.to_vec()];
    words.extend(command.args.iter().map(|arg| arg.to_vec()));
    words
}

/// Feeds `bytes` cut at `cuts`, one command or one batch at a time.
fn run(
    bytes: &[u8],
    cuts: &[usize],
    batch: bool,
    limits: &Limits,
) -> (Vec<Plain>, Option<ProtocolError>) {
    let mut parser = Parser::new();
    let mut buf = BytesMut::new();
    let mut out = Vec::new();
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    ends.push(bytes.len());
    ends.sort_unstable();
    let mut fed = 0;
    for end in ends {
        buf.extend_from_slice(&bytes[fed..end]);
        fed = end;
        loop {
            let step = if batch {
                parser.parse_batch(&mut buf, limits, &mut out)
            } else {
                let step = parser.parse(&mut buf, limits);
                step.map(|command| command.map(|command| out.push(command)).is_some() as usize)
            };
            match step {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => return (out.iter().map(plain).collect(), Some(error)),
            }
        }
    }
    (out.iter().map(plain).collect(), None)
}

fn all(bytes: &[u8]) -> (Vec<Plain>, Option<ProtocolError>) {
    run(bytes, &[], true, &limits())
}

/// The protocol said again in the plainest way: split lines off a whole input.
mod reference {
    use super::*;

    fn line(rest: &mut &[u8]) -> Option<Vec<u8>> {
        let at = rest.windows(2).position(|pair| pair == b"\r\n")?;
        let line = rest[..at].to_vec();
        *rest = &rest[at + 2..];
        Some(line)
    }

    fn number(line: &[u8]) -> Option<i64> {
        let text = std::str::from_utf8(line).ok()?;
        let number: i64 = text.parse().ok()?;
        (number.to_string() == text).then_some(number)
    }

    /// The commands up to the first fault or the end; `false` if there was a fault.
    /// Works on inputs whose every array is whole.
    pub fn read(mut rest: &[u8], limits: &Limits) -> (Vec<Plain>, bool) {
        let mut out = Vec::new();
        while !rest.is_empty() {
            match one(&mut rest, limits) {
                Some(args) if args.is_empty() => {}
                Some(args) => out.push(args),
                None => return (out, false),
            }
        }
        (out, true)
    }

    fn one(rest: &mut &[u8], limits: &Limits) -> Option<Plain> {
        if rest[0] != b'*' {
            let at = rest.iter().position(|byte| *byte == b'\n')?;
            let text = &rest[..at];
            *rest = &rest[at + 1..];
            if text.len() > limits.inline_bytes_max {
                return None;
            }
            let words = text.split(|byte| byte.is_ascii_whitespace());
            return Some(
                words
                    .filter(|word| !word.is_empty())
                    .map(Vec::from)
                    .collect(),
            );
        }
        let before = rest.len();
        let count = number(&line(rest)?[1..])?;
        if count > limits.args_max as i64 {
            return None;
        }
        let mut args = Vec::new();
        for _ in 0..count {
            let header = line(rest)?;
            let len = number(header.strip_prefix(b"$")?)?;
            if len < 0 || len > limits.bulk_bytes_max as i64 {
                return None;
            }
            let len = len as usize;
            if before - rest.len() + len + 2 > limits.request_bytes_max {
                return None;
            }
            if rest.get(len..len + 2)? != b"\r\n" {
                return None;
            }
            args.push(rest[..len].to_vec());
            *rest = &rest[len + 2..];
        }
        Some(args)
    }
}

#[test]
fn arrays_inline_commands_and_nothings() {
    let (commands, error) =
        all(b"*2\r\n$3\r\nGET\r\n$0\r\n\r\n\r\n*0\r\n*-1\r\nPING 'a b'\r\nECHO x\n");
    assert_eq!(error, None);
    assert_eq!(
        commands,
        [
            vec![b"GET".to_vec(), vec![]],
            vec![b"PING".to_vec(), b"a b".to_vec()],
            vec![b"ECHO".to_vec(), b"x".to_vec()],
        ]
    );
}

#[test]
fn faults_have_the_words_of_redis() {
    let long = "x".repeat(33);
    let cases: &[(&str, &str)] = &[
        ("*a\r\n", "invalid multibulk length"),
        ("*9\r\n", "invalid multibulk length"),
        ("*01\r\n", "invalid multibulk length"),
        ("*1234567890123456789", "invalid multibulk length"),
        ("*1\r\nx", "expected '$', got 'x'"),
        ("*1\r\n$-1\r\n", "invalid bulk length"),
        ("*1\r\n$65\r\n", "invalid bulk length"),
        ("*1\r\n$1\n", "invalid bulk length"),
        ("*1\r\n$1\r\nabc", "expected CRLF after a bulk string"),
        (&long, "too big inline request"),
        ("a \"b\r\n", "unbalanced quotes in request"),
    ];
    for (input, text) in cases {
        let (commands, error) = all(format!("PING\r\n{input}").as_bytes());
        assert_eq!(commands.len(), 1, "what came before is answered: {input}");
        assert_eq!(
            error.unwrap().to_string(),
            format!("Protocol error: {text}"),
            "{input}"
        );
    }
}

#[test]
fn the_whole_request_is_bounded_before_its_bytes_arrive() {
    let mut bytes = b"*8\r\n".to_vec();
    for _ in 0..2 {
        bytes.extend_from_slice(b"$64\r\n");
        bytes.extend_from_slice(&[b'x'; 64]);
        bytes.extend_from_slice(b"\r\n");
    }
    assert_eq!(all(&bytes), (vec![], None));
    bytes.extend_from_slice(b"$64\r\n");
    let bytes_max = 200;
    assert_eq!(
        all(&bytes),
        (vec![], Some(ProtocolError::TooBigRequest { bytes_max }))
    );
}

#[test]
fn a_fault_stays() {
    let mut parser = Parser::new();
    let mut buf = BytesMut::from(&b"*x"[..]);
    let fault = parser.parse(&mut buf, &limits());
    assert!(fault.is_err());
    buf.extend_from_slice(b"*1\r\n$4\r\nPING\r\n");
    assert_eq!(parser.parse(&mut buf, &limits()), fault);
}

#[test]
fn an_announced_million_of_arguments_keeps_no_memory() {
    let mut parser = Parser::new();
    let mut buf = BytesMut::from(&b"*1048576\r\n$1\r\na\r\n"[..]);
    assert_eq!(parser.parse(&mut buf, &Limits::default()), Ok(None));
    assert!(parser.spans.capacity() < 16);
}

#[test]
fn a_big_argument_in_small_pieces_is_not_looked_at_again() {
    let mut parser = Parser::new();
    let mut buf = BytesMut::from(&b"*2\r\n$4\r\nECHO\r\n$4000000\r\n"[..]);
    let piece = [b'x'; 40];
    for _ in 0..100_000 {
        assert_eq!(parser.parse(&mut buf, &Limits::default()), Ok(None));
        assert_eq!(parser.body, Some(4_000_000));
        buf.extend_from_slice(&piece);
    }
    buf.extend_from_slice(b"\r\n");
    let command = parser.parse(&mut buf, &Limits::default()).unwrap().unwrap();
    assert_eq!(command.args[0].len(), 4_000_000);
    assert!(buf.is_empty());
}

#[test]
fn debug_shows_no_argument() {
    let mut buf = BytesMut::new();
    put_request(&mut buf, &["AUTH", "sesame"]);
    let command = Parser::new().parse(&mut buf, &limits()).unwrap().unwrap();
    assert!(!format!("{command:?}").contains("sesame"));
}

/// Pieces that are nearly the protocol, so that random inputs get past the first byte.
fn fragment() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 1..5).prop_map(|args| {
            let mut out = BytesMut::new();
            put_request(&mut out, &args);
            out.to_vec()
        }),
        2 => "[a-z]{1,6}( [a-z]{0,4}){0,3}\r?\n".prop_map(String::into_bytes),
        1 => "[*$][-0-9]{0,3}\r?\n?".prop_map(String::into_bytes),
        1 => Just(b"\r\n".to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..6),
    ]
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(fragment(), 0..12).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes: Vec<u8>, cuts: Vec<usize>) {
        run(&bytes, &cuts, true, &limits());
    }

    #[test]
    fn any_split_gives_the_same(bytes in stream(), cuts: Vec<usize>) {
        let whole = run(&bytes, &[], true, &limits());
        prop_assert_eq!(&run(&bytes, &cuts, true, &limits()), &whole);
        prop_assert_eq!(&run(&bytes, &cuts, false, &limits()), &whole);
        let every: Vec<usize> = (0..bytes.len()).collect();
        prop_assert_eq!(&run(&bytes, &every, true, &limits()), &whole);
    }

    #[test]
    fn what_is_encoded_is_parsed(
        requests in prop::collection::vec(
            prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 1..8), 0..40),
        cuts: Vec<usize>,
    ) {
        let mut wire = BytesMut::new();
        for request in &requests {
            put_request(&mut wire, request);
        }
        let (commands, error) = run(&wire, &cuts, true, &Limits::default());
        prop_assert_eq!(error, None);
        prop_assert_eq!(commands, requests);
    }

    #[test]
    fn agrees_with_the_plain_reading(parts in prop::collection::vec(fragment(), 0..12)) {
        let mut bytes = parts.concat();
        // Inline quotes have tests of their own; the reference has none.
        bytes.retain(|byte| *byte != b'"' && *byte != b'\'');
        let (commands, error) = all(&bytes);
        let (expected, clean) = reference::read(&bytes, &limits());
        if error.is_none() && !clean {
            // The input ends within a request: the parser waits where the reference gives up.
            prop_assert_eq!(commands, expected);
        } else {
            prop_assert_eq!((commands, error.is_none()), (expected, clean));
        }
    }
}
