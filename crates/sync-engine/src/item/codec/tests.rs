use super::super::stamp::{HlcTime, Origin};
use super::*;
use proptest::prelude::*;

pub(crate) fn stamps() -> impl Strategy<Value = Stamp> {
    any::<(u64, u64)>().prop_map(|(time, origin)| Stamp {
        time: HlcTime(time),
        origin: Origin::from_raw(origin),
    })
}

fn text() -> impl Strategy<Value = Option<Box<str>>> {
    prop::option::of("[a-z ü]{0,20}".prop_map(String::into_boxed_str))
}

pub(crate) fn stored() -> impl Strategy<Value = Stored> {
    let options = (
        any::<bool>(),
        any::<bool>(),
        prop::option::of(1..1u64 << 40),
    );
    let live = (
        ("[a-z.ü]{1,40}", stamps(), any::<u64>(), any::<i64>()),
        (prop::option::of(any::<i64>()), "[a-z]{1,9}", options),
        (text(), text(), text(), text()),
        prop::collection::vec(any::<u8>(), 0..300),
    )
        .prop_map(|(head, middle, extras, content)| {
            let (key, stamp, version, updated_at) = head;
            let (expires_at, state, (redis, sql, ttl)) = middle;
            Stored::Live(SyncItem::new(key, content).edit(|f| {
                f.stamp = stamp;
                f.version = version;
                f.updated_at = updated_at;
                f.expires_at = expires_at;
                f.state = state.into();
                f.submit_options = SubmitOptions {
                    redis,
                    redis_ttl: ttl.map(CacheTtl::custom_secs),
                    sql,
                    state: None,
                };
                (
                    f.batch_id,
                    f.trace_parent,
                    f.trace_state,
                    f.home_instance_id,
                ) = extras;
            }))
        });
    let tombstone = ("[a-z.]{1,40}", stamps()).prop_map(|(key, stamp)| Stored::Tombstone {
        key: key.into(),
        stamp,
    });
    prop_oneof![3 => live, 1 => tombstone]
}

/// The bytes that `docs/formats.md` quotes.
#[test]
fn the_documented_envelopes() {
    let stamp = Stamp {
        time: HlcTime((1_700_000_000_000 << 16) | 3),
        origin: Origin::from_raw(0x8f0c_6c1d_2e3b_4a50),
    };
    let tombstone = Stored::Tombstone {
        key: "uk.nhs.1".into(),
        stamp,
    };
    let item = SyncItem::new("uk.nhs.1", b"{}".to_vec()).edit(|f| {
        f.stamp = stamp;
        f.version = 7;
        f.updated_at = 1_700_000_000_000;
        f.expires_at = Some(1_700_000_060_000);
        f.submit_options.redis_ttl = Some(CacheTtl::Minute);
        f.state = "busy".into();
        f.trace_state = Some("a=1".into());
    });
    for (stored, documented) in [(tombstone, TOMBSTONE), (Stored::Live(item), ITEM)] {
        let mut bytes = Vec::new();
        encode(&stored, &mut bytes);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, documented.replace([' ', '\n'], ""));
        assert_eq!(decode(bytes.into()), Ok(stored));
    }
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/formats.md");
    let page = std::fs::read_to_string(page).unwrap();
    for documented in [TOMBSTONE, ITEM] {
        let lines = documented.lines().map(str::trim);
        for line in lines {
            assert!(page.contains(line), "docs/formats.md lacks {line}");
        }
    }
}

const TOMBSTONE: &str = "52010000 a55e6e85
    018bcfe5680000038f0c6c1d2e3b4a50
    0008 756b2e6e68732e31";

const ITEM: &str = "520100ff 68340c52
    018bcfe5680000038f0c6c1d2e3b4a50
    0008 756b2e6e68732e31
    0000000000000007 0000018bcfe56800
    44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a
    0000018bcfe65260 000000000000003c
    0004 62757379
    00 00 01 0003 613d31 00
    00000002 7b7d";

proptest! {
    #[test]
    fn round_trip(stored in stored()) {
        let mut bytes = Vec::new();
        encode(&stored, &mut bytes);
        prop_assert_eq!(&bytes[STAMP_AT..STAMP_AT + 16], &stored.stamp().to_bytes());
        let bytes = Bytes::from(bytes);
        prop_assert_eq!(peek_key(&bytes), Some(stored.key().clone()));
        prop_assert_eq!(decode(bytes), Ok(stored));
    }

    #[test]
    fn a_damaged_envelope_is_refused(stored in stored(), at: prop::sample::Index, bit in 0..8u8) {
        let mut bytes = Vec::new();
        encode(&stored, &mut bytes);
        let at = at.index(bytes.len());
        prop_assert!(decode(Bytes::copy_from_slice(&bytes[..at])).is_err());
        bytes[at] ^= 1 << bit;
        prop_assert!(decode(bytes.into()).is_err());
    }

    #[test]
    fn any_bytes_are_an_error_not_a_panic(bytes: Vec<u8>) {
        peek_key(&bytes.clone().into());
        prop_assert!(decode(bytes.into()).is_err());
    }
}
