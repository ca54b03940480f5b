use super::*;
use proptest::prelude::*;

/// A reply, as the protocol has it.
#[derive(Clone, Debug)]
enum Reply {
    Text(u8, String),
    Blob(u8, Vec<u8>),
    Nil(u8),
    List(u8, Vec<Reply>),
}

impl Reply {
    fn encode(&self, out: &mut Vec<u8>) {
        let mut line = |kind: u8, text: String| {
            out.push(kind);
            out.extend_from_slice(text.as_bytes());
            out.extend_from_slice(b"\r\n");
        };
        match self {
            Self::Text(kind, text) => line(*kind, text.clone()),
            Self::Nil(kind) => line(*kind, "-1".into()),
            Self::Blob(kind, bytes) => {
                line(*kind, bytes.len().to_string());
                out.extend_from_slice(bytes);
                out.extend_from_slice(b"\r\n");
            }
            Self::List(kind, values) => {
                let pairs = matches!(kind, b'%' | b'|');
                let count = values.len() / if pairs { 2 } else { 1 };
                line(*kind, count.to_string());
                values.iter().for_each(|value| value.encode(out));
            }
        }
    }

    fn weight(&self) -> usize {
        VALUE_BYTES
            + match self {
                Self::Text(_, text) => text.len() + 2,
                Self::Nil(_) => 0,
                Self::Blob(_, bytes) => bytes.len(),
                Self::List(_, values) => values.iter().map(Self::weight).sum(),
            }
    }
}

fn reply() -> impl Strategy<Value = Reply> {
    let leaf = prop_oneof![
        "[a-z]{0,9}".prop_map(|text| Reply::Text(b'+', text)),
        any::<i32>().prop_map(|number| Reply::Text(b':', number.to_string())),
        Just(Reply::Text(b'-', "ERR odd\rline\nend".into())),
        Just(Reply::Text(b'_', String::new())),
        Just(Reply::Text(b'#', "t".into())),
        Just(Reply::Text(b',', "1.5".into())),
        Just(Reply::Text(b'(', "123456789012345678901234567890".into())),
        prop::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), any::<u8>()], 0..40)
            .prop_map(|bytes| Reply::Blob(b'$', bytes)),
        Just(Reply::Blob(b'=', b"txt:some\r\n".to_vec())),
        Just(Reply::Blob(b'!', b"ERR blob".to_vec())),
        Just(Reply::Nil(b'$')),
        Just(Reply::Nil(b'*')),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let list = prop::collection::vec(inner, 0..6);
        (0..4usize, list).prop_map(|(kind, mut values)| {
            let kind = b"*~%|"[kind];
            match kind {
                b'%' => values.truncate(values.len() / 2 * 2),
                b'|' if values.len() % 2 == 0 => values.push(Reply::Nil(b'$')),
                _ => {}
            }
            Reply::List(kind, values)
        })
    })
}

fn feed(meter: &mut Meter, bytes: &[u8], piece: usize, limit: usize) -> Result<(), Unfit> {
    bytes
        .chunks(piece)
        .try_for_each(|piece| meter.weigh(piece, limit))
}

fn encoded(reply: &Reply) -> Vec<u8> {
    let mut bytes = Vec::new();
    reply.encode(&mut bytes);
    bytes
}

proptest! {
    #[test]
    fn a_reply_weighs_its_bytes_and_its_values_however_it_comes(replies in prop::collection::vec(reply(), 1..4), piece in 1..50usize) {
        let mut meter = Meter::new();
        for reply in &replies {
            let (bytes, weight) = (encoded(reply), reply.weight());
            // What the driver makes of it: one value, and nothing left to wait for.
            prop_assert!(redis::parse_redis_value(&bytes).is_ok());
            prop_assert!(feed(&mut meter, &bytes, piece, weight).is_ok());
            prop_assert_eq!((meter.values, meter.weight), (0, weight));
            let head = &bytes[..bytes.len().min(HEAD_BYTES_MAX)];
            prop_assert_eq!(&meter.head, head);
        }
        let all: Vec<u8> = replies.iter().flat_map(encoded).collect();
        let heaviest = replies.iter().map(Reply::weight).max().unwrap();
        prop_assert!(feed(&mut Meter::new(), &all, piece, heaviest).is_ok());
        let failed = feed(&mut Meter::new(), &all, piece, heaviest - 1);
        prop_assert!(matches!(failed, Err(Unfit::TooLarge(_))));
    }

    /// Were it over for the meter and not for the driver, the driver would hold two replies at once, and so on.
    #[test]
    fn no_reply_is_over_before_the_driver_has_it(words in prop::collection::vec(prop::sample::select(vec![
        "$", "*", "%", "|", ">", "~", "!", "=", "+", "-", ":", "_", "#", ",", "(", "\r\n", "\r\n", "\r", "\n", "0", "1", "2", "-1", "+1", " 1", "OK", "txt:",
    ]), 1..24)) {
        let bytes = words.concat().into_bytes();
        let mut meter = Meter::new();
        for (at, byte) in bytes.iter().enumerate() {
            if meter.weigh(&[*byte], 1 << 20).is_err() {
                break;
            }
            if meter.values == 0 {
                if let Err(error) = redis::parse_redis_value(&bytes[..=at]) {
                    prop_assert!(!error.is_io_error(), "{:?}: {}", &words, error);
                }
                break;
            }
        }
    }

    #[test]
    fn i12_any_bytes_are_weighed_or_refused(bytes: Vec<u8>, limit in 0..200usize) {
        let mut meter = Meter::new();
        let fits = meter.weigh(&bytes, limit).is_ok();
        prop_assert!(!fits || meter.weight <= limit);
        prop_assert!(meter.head.len() <= HEAD_BYTES_MAX && meter.line.len() <= NUMBER_BYTES_MAX);
    }
}

#[test]
fn i8_what_is_announced_too_large_is_refused_before_it_comes() {
    for reply in [
        "$1000000\r\n",
        "$9223372036854775807\r\n",
        "*100000\r\n",
        "*9223372036854775807\r\n",
        "%9223372036854775807\r\n",
        "|9223372036854775807\r\n",
        ">100000\r\n",
        "=1000000\r\n",
        "*2\r\n$1\r\nk\r\n*1\r\n*2\r\n$3\r\n5-1\r\n*2\r\n$4\r\ndata\r\n$1000000\r\n",
    ] {
        let limit = 100_000;
        let refused = Meter::new().weigh(reply.as_bytes(), limit).unwrap_err();
        let Unfit::TooLarge(too_large) = refused else {
            panic!("{reply}: {refused}");
        };
        assert_eq!(too_large.head(), reply.as_bytes());
        assert!(too_large.to_string().contains("100000"));
        assert!(!format!("{too_large:?}").contains("data"));
    }
    // Nothing is announced, and nothing ends.
    let mut meter = Meter::new();
    let read = (0..).find(|_| meter.weigh(b"+aaaaaaaaa", 1000).is_err());
    assert!(read.unwrap() <= 100);
}

#[test]
fn what_says_no_size_is_not_believed_to_have_none() {
    for odd in [
        "x",
        "\r\n",
        "$\r\n",
        "$x\r\n",
        "$+1\r\n",
        "$ 1\r\n",
        "$1\n\r\n",
        "*1 \r\n",
        "*--1\r\n",
        "!-1\r\n",
        "=-1\r\n",
        "%-1\r\n",
        "|-1\r\n",
        "$?\r\n",
        "$00000000000000000000000000000000000001\r\n",
        "*99999999999999999999\r\n",
    ] {
        let refused = Meter::new().weigh(odd.as_bytes(), usize::MAX).unwrap_err();
        assert!(matches!(refused, Unfit::Malformed), "{odd:?}: {refused}");
    }
}
