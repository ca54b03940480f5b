use super::*;
use crate::item::codec::tests::stored;
use crate::item::hash::ContentHash;
use crate::item::options::{CacheTtl, SubmitOptions};
use crate::item::stamp::{HlcTime, Origin, Stamp};
use proptest::prelude::*;

const EPOCH: Epoch = Epoch(0x00ab_cdef_0123_4567);
const LIMITS: Limits = Limits {
    payload_bytes_max: 16 << 20,
};

fn live(content: impl Into<Bytes>) -> Stored {
    let stamp = Stamp {
        time: HlcTime(u64::MAX),
        origin: Origin::from_raw(0xfe),
    };
    Stored::Live(
        SyncItem::new("uk.nhs.1", content)
            .with_version(u64::MAX)
            .edit(|fields| {
                fields.stamp = stamp;
                fields.updated_at = i64::MIN;
            }),
    )
}

fn round_trip(stored: &Stored) -> Fields {
    let fields = encode(stored, EPOCH, u64::MAX);
    let event = decode(&fields, LIMITS).unwrap();
    assert_eq!(&event.stored, stored);
    assert_eq!((event.epoch, event.seq), (EPOCH, u64::MAX));
    fields
}

/// The entry of a small item with one field replaced.
fn with(name: &str, value: impl Into<Bytes>) -> Fields {
    let value = value.into();
    let mut fields = encode(&live("x"), EPOCH, 1);
    for field in &mut fields {
        if field.0 == name.as_bytes() {
            field.1 = value.clone();
        }
    }
    fields
}

/// … or with some text of its meta replaced.
fn with_meta(from: &str, to: &str) -> Fields {
    let fields = encode(&live("x"), EPOCH, 1);
    let meta = std::str::from_utf8(&fields[4].1).unwrap();
    assert!(meta.contains(from), "{meta}");
    with("meta", meta.replacen(from, to, 1))
}

fn refused(fields: &Fields) -> EventError {
    let error = decode(fields, LIMITS).unwrap_err();
    assert!(!error.to_string().is_empty());
    error
}

#[test]
fn the_wire_form_is_the_documented_one() {
    let stored = Stored::Live(
        SyncItem::new("uk.nhs.1", "{\"a\": 1}")
            .with_state("hot")
            .with_expires_at(Some(5))
            .with_batch_id("b")
            .with_home_instance_id("h")
            .with_trace_context("00-tp", Some("ts".into()))
            .with_options(SubmitOptions::cache(CacheTtl::Minute))
            .edit(|fields| {
                fields.stamp = Stamp {
                    time: HlcTime(3),
                    origin: Origin::from_raw(10),
                }
            }),
    );
    let fields = encode(&stored, EPOCH, 7);
    let names: Vec<&[u8]> = fields.iter().map(|(name, _)| &name[..]).collect();
    assert_eq!(names, [&b"op"[..], b"key", b"hash", b"data", b"meta"]);
    assert_eq!(&fields[0].1[..], b"PUT");
    assert_eq!(&fields[1].1[..], b"uk.nhs.1");
    assert_eq!(
        fields[2].1,
        ContentHash::of(b"{\"a\": 1}").to_string().as_bytes()
    );
    assert_eq!(&fields[3].1[..], b"{\"a\": 1}");
    assert_eq!(
        std::str::from_utf8(&fields[4].1).unwrap(),
        concat!(
            r#"{"content_type":"json","version":1,"updated_at":0,"stamp":3,"origin":"000000000000000a","#,
            r#""encoding":"raw","epoch":"00abcdef01234567","seq":7,"state":"hot","expires_at":5,"#,
            r#""trace_parent":"00-tp","trace_state":"ts","redis_ttl":60,"sql":false,"batch_id":"b","#,
            r#""home_instance_id":"h"}"#
        )
    );
    let tombstone = Stored::Tombstone {
        key: "a".into(),
        stamp: Stamp {
            time: HlcTime::from_ms(9),
            origin: Origin::from_raw(1),
        },
    };
    let fields = encode(&tombstone, EPOCH, 1);
    assert_eq!(fields.len(), 3);
    assert_eq!(
        std::str::from_utf8(&fields[2].1).unwrap(),
        r#"{"updated_at":9,"stamp":589824,"origin":"0000000000000001","epoch":"00abcdef01234567","seq":1}"#
    );
}

#[test]
fn plain_items_leave_the_defaults_out() {
    let fields = round_trip(&live("x"));
    let meta: serde_json::Value = serde_json::from_slice(&fields[4].1).unwrap();
    assert_eq!(meta.as_object().unwrap().len(), 8, "{meta}");
    assert_eq!(meta["version"], u64::MAX);
}

#[test]
fn i7_every_payload_round_trips_bit_for_bit() {
    let frame = compress::compress_if_worth(&[1; 50_000]).unwrap();
    let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..))
        .take(300_000)
        .collect();
    let text = "{ \"b\" :1,\n\"a\":2}".repeat(1000);
    for content in [
        vec![],
        vec![0xff, 0xfe, 0],
        frame.clone(),
        frame.repeat(1000),
        noise,
        text.into_bytes(),
        vec![0; 16 << 20],
    ] {
        round_trip(&live(content));
    }
    // Noise over the whole limit stays raw, and shared.
    let large: Vec<u8> = std::iter::repeat_with(|| fastrand::u64(..).to_ne_bytes())
        .take(2 << 20)
        .flatten()
        .collect();
    let stored = live(large);
    let fields = round_trip(&stored);
    assert_eq!(
        fields[3].1.as_ptr(),
        stored.item().unwrap().content.as_ptr()
    );
}

#[test]
fn unknown_fields_and_members_are_ignored() {
    let mut fields = encode(&live("x"), EPOCH, 1);
    fields.insert(0, ("later".into(), "y".into()));
    fields.push((Bytes::from_static(b"\xff"), Bytes::new()));
    assert_eq!(decode(&fields, LIMITS).unwrap().stored, live("x"));
    let fields = with_meta("{", r#"{"later":{"a":[1,null,"x"]},"state":null,"#);
    assert_eq!(decode(&fields, LIMITS).unwrap().stored, live("x"));
}

#[test]
fn a_missing_field_is_named() {
    for name in ["op", "key", "hash", "data", "meta"] {
        let mut fields = encode(&live("x"), EPOCH, 1);
        fields.retain(|(field, _)| field != name.as_bytes());
        let error = refused(&fields);
        assert!(matches!(error, EventError::Missing { .. }), "{error}");
        assert_eq!(error.field(), name);
    }
    for name in [
        "content_type",
        "version",
        "updated_at",
        "stamp",
        "origin",
        "encoding",
        "epoch",
        "seq",
    ] {
        let error = refused(&with_meta(&format!("\"{name}\""), "\"other\""));
        assert!(matches!(error, EventError::Missing { .. }), "{error}");
        assert_eq!(error.field(), format!("meta.{name}"));
    }
}

#[test]
fn a_malformed_field_is_named() {
    for (from, to, field) in [
        (
            "\"version\":18446744073709551615",
            "\"version\":-1",
            "meta.version",
        ),
        (
            "\"version\":18446744073709551615",
            "\"version\":18446744073709551616",
            "meta.version",
        ),
        (
            "\"version\":18446744073709551615",
            "\"version\":1e3",
            "meta.version",
        ),
        ("\"seq\":1", "\"seq\":\"1\"", "meta.seq"),
        (
            "\"encoding\":\"raw\"",
            "\"encoding\":\"gzip\"",
            "meta.encoding",
        ),
        (
            "\"content_type\":\"binary\"",
            "\"content_type\":7",
            "meta.content_type",
        ),
        ("\"00000000000000fe\"", "\"fe\"", "meta.origin"),
        (
            "\"00000000000000fe\"",
            "\"+0000000000000fe\"",
            "meta.origin",
        ),
        ("00abcdef01234567", "00abcdef0123456g", "meta.epoch"),
        ("}", ",\"redis\":1}", "meta.redis"),
        ("}", "", "meta"),
        ("}", "} x", "meta"),
        ("{", "[", "meta"),
    ] {
        let error = refused(&with_meta(from, to));
        assert!(matches!(error, EventError::Malformed { .. }), "{error}");
        assert_eq!(error.field(), field, "{to}");
    }
    assert_eq!(refused(&with("hash", "12")).field(), "hash");
    assert!(matches!(
        refused(&with("op", "put")),
        EventError::UnknownOp { .. }
    ));
    assert!(
        matches!(refused(&with("op", vec![0xff; 999])), EventError::UnknownOp { op } if op.len() < 99)
    );
    assert!(matches!(refused(&with("key", "")), EventError::Key(_)));
    assert!(matches!(refused(&with("key", "a\nb")), EventError::Key(_)));
    let deep = format!("{{\"x\":{}", "[".repeat(60_000));
    assert_eq!(refused(&with("meta", deep)).field(), "meta");
}

#[test]
fn a_hash_that_does_not_match_is_refused() {
    let error = refused(&with("data", "y"));
    assert!(matches!(error, EventError::HashMismatch { .. }), "{error}");
    let packed = encode(&live(vec![0; 9_000]), EPOCH, 1);
    let error = refused(&with("data", packed[3].1.clone()));
    assert!(matches!(error, EventError::HashMismatch { .. }), "{error}");
}

#[test]
fn i12_an_oversize_field_is_refused_before_it_costs_memory() {
    let small = Limits {
        payload_bytes_max: 1000,
    };
    let over = |fields: &Fields, field: &str| {
        let error = decode(fields, small).unwrap_err();
        assert!(matches!(error, EventError::Oversize { .. }), "{error}");
        assert_eq!(error.field(), field);
    };
    let bomb = encode(&live(vec![0; 16 << 20]), EPOCH, 1);
    assert!(bomb[3].1.len() < 10_000);
    over(&bomb, "data");
    over(&with("data", vec![1; 1001]), "data");
    over(&with("key", vec![b'a'; 1025]), "key");
    over(&with("meta", vec![b' '; META_BYTES_MAX + 1]), "meta");
    let state = format!(",\"state\":\"{}\"}}", "a".repeat(257));
    over(&with_meta("}", &state), "meta.state");
    let text = format!(",\"batch_id\":\"{}\"}}", "a".repeat(1025));
    over(&with_meta("}", &text), "meta.batch_id");
    let exact = live(vec![7; 1000]);
    assert_eq!(
        decode(&encode(&exact, EPOCH, 1), small).unwrap().stored,
        exact
    );
}

#[test]
fn the_longest_texts_fit_into_meta() {
    let text = "\u{1}".repeat(1024);
    let stored = Stored::Live(
        SyncItem::new("a", "x")
            .with_state("\u{1}".repeat(256))
            .with_batch_id(text.as_str())
            .with_home_instance_id(text.as_str())
            .with_trace_context(text.as_str(), Some(text.as_str().into())),
    );
    round_trip(&stored);
}

#[test]
fn data_that_is_no_frame_is_refused() {
    let error = refused(&with_meta("\"raw\"", "\"zstd\""));
    assert!(matches!(error, EventError::Decompress(_)), "{error}");
}

proptest! {
    #[test]
    fn any_write_round_trips(stored in stored(), epoch: u64, seq: u64) {
        let event = decode(&encode(&stored, Epoch(epoch), seq), LIMITS).unwrap();
        prop_assert_eq!(event, ChangeEvent { stored, epoch: Epoch(epoch), seq });
    }

    #[test]
    fn damaged_entries_never_panic(
        stored in stored(), which: prop::sample::Index, at: prop::sample::Index, byte: u8, cut: bool,
    ) {
        let mut fields = encode(&stored, EPOCH, 1);
        let which = which.index(fields.len());
        let mut value = fields[which].1.to_vec();
        if !value.is_empty() {
            let at = at.index(value.len());
            match cut {
                true => value.truncate(at),
                false => value[at] = byte,
            }
        }
        fields[which].1 = value.into();
        let read = decode(&fields, LIMITS);
        let event = match read {
            Ok(event) => event,
            Err(_) => return Ok(()),
        };
        if let (Some(read), Some(item)) = (event.stored.item(), stored.item()) {
            prop_assert!(read.content_hash == ContentHash::of(&read.content));
            prop_assert_eq!(read.content == item.content, read.content_hash == item.content_hash);
        }
    }
}
