use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::store::slot_bytes;
use super::*;
use crate::resp::pieces::Pieces;
use crate::resp::{Proto, Reply, StreamLimits};

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn append(key: &str, id: AddId, value: &str) -> Append {
    Append {
        key: bytes(key),
        missing: IfMissing::Create,
        trim: None,
        id,
        fields: vec![(bytes("f"), bytes(value))],
    }
}

fn exact(ms: u64, seq: u64) -> AddId {
    AddId::Exact(StreamId::new(ms, seq))
}

fn store() -> StreamStore {
    StreamStore::new(StreamLimits::default())
}

fn ids(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(|entry| entry.id.to_string()).collect()
}

fn all(store: &StreamStore, key: &str) -> Vec<Entry> {
    let source = store.source(key.as_bytes());
    source.map_or_else(Vec::new, |s| s.range(Span::ALL, usize::MAX).collect())
}

fn trim(keep: Keep) -> Option<Trim> {
    Some(Trim { keep, limit: None })
}

#[test]
fn ids_only_grow() {
    let mut store = store();
    let mut add = |id, now| store.add(&append("s", id, "v"), now);
    let id = |ms, seq| Ok(Some(StreamId::new(ms, seq)));
    assert_eq!(add(exact(0, 0), 1), Err(StreamError::IdZero));
    assert_eq!(add(AddId::AutoSeq(0), 1), id(0, 1));
    assert_eq!(add(AddId::Auto, 10), id(10, 0));
    assert_eq!(add(AddId::Auto, 10), id(10, 1));
    assert_eq!(add(AddId::Auto, 9), id(10, 2), "the clock went back");
    assert_eq!(add(AddId::AutoSeq(10), 0), id(10, 3));
    assert_eq!(add(AddId::AutoSeq(12), 0), id(12, 0));
    assert_eq!(add(AddId::AutoSeq(11), 0), Err(StreamError::IdNotAbove));
    assert_eq!(add(exact(12, 0), 0), Err(StreamError::IdNotAbove));
    assert_eq!(add(AddId::Exact(StreamId::MAX), 0), Ok(Some(StreamId::MAX)));
    assert_eq!(add(AddId::Auto, 99), Err(StreamError::IdsExhausted));
}

#[test]
fn a_refused_add_leaves_no_stream() {
    let mut store = store();
    assert!(store.add(&append("s", exact(0, 0), "v"), 1).is_err());
    let skip = Append {
        missing: IfMissing::Skip,
        ..append("s", AddId::Auto, "v")
    };
    assert_eq!(store.add(&skip, 1), Ok(None));
    assert_eq!((store.keys().count(), store.bytes()), (0, 0));
}

#[test]
fn ranges_both_ways() {
    let mut store = store();
    for ms in 1..=5 {
        store.add(&append("s", exact(ms, 0), "v"), 0).unwrap();
    }
    let source = store.source(b"s").unwrap();
    let run = |start, end, count, rev, bytes_max| {
        let (start, end) = (StreamId::new(start, 0), StreamId::new(end, 0));
        let span = Span {
            start,
            end,
            count,
            rev,
        };
        source.range(span, bytes_max)
    };
    let range = |start, end, count, rev| -> Vec<String> {
        let entries: Vec<Entry> = run(start, end, count, rev, usize::MAX).collect();
        ids(&entries)
    };
    assert_eq!(range(2, 4, 9, false), ["2-0", "3-0", "4-0"]);
    assert_eq!(range(2, 4, 2, false), ["2-0", "3-0"]);
    assert_eq!(range(2, 4, 2, true), ["4-0", "3-0"]);
    assert!(range(4, 2, 9, false).is_empty());
    assert!(range(6, 9, 9, false).is_empty());
    let one = run(1, 1, 9, false, 0).bytes();
    let mut two = run(1, 5, 9, true, 2 * one);
    assert_eq!((two.len(), two.bytes()), (2, 2 * one));
    assert_eq!(two.next().unwrap().id, StreamId::new(5, 0));
    assert_eq!((two.len(), two.bytes()), (1, one));
    assert_eq!(run(1, 5, 9, true, 2 * one - 1).len(), 1);
    assert_eq!(run(1, 5, 9, true, 0).len(), 1, "never empty-handed");
}

#[test]
fn trims_and_deletes() {
    let mut store = store();
    for ms in 1..=6 {
        store.add(&append("s", exact(ms, 0), "v"), 0).unwrap();
    }
    let kept = Append {
        trim: trim(Keep::MaxLen(5)),
        ..append("s", exact(7, 0), "v")
    };
    store.add(&kept, 0).unwrap();
    assert_eq!(ids(&all(&store, "s")), ["3-0", "4-0", "5-0", "6-0", "7-0"]);
    let two = Trim {
        keep: Keep::MaxLen(0),
        limit: Some(1),
    };
    assert_eq!(store.trim(b"s", two), Ok(1));
    let below = trim(Keep::MinId(StreamId::new(5, 0))).unwrap();
    assert_eq!(store.trim(b"s", below), Ok(1));
    let wanted = [
        StreamId::new(6, 0),
        StreamId::new(6, 1),
        StreamId::new(6, 0),
    ];
    assert_eq!(store.delete_entries(b"s", &wanted), Ok(1));
    let info = store.info(b"s").unwrap();
    assert_eq!((info.length, info.entries_added), (2, 7));
    assert_eq!(info.max_deleted_entry_id, StreamId::new(6, 0));
    assert_eq!(info.last_generated_id, StreamId::new(7, 0));
    assert_eq!(info.recorded_first_entry_id, StreamId::new(5, 0));
    assert_eq!(info.first_entry.unwrap().id, StreamId::new(5, 0));
}

#[test]
fn a_stream_trimmed_to_nothing_remembers_its_last_id() {
    let mut store = store();
    let gone = Append {
        trim: trim(Keep::MaxLen(0)),
        ..append("s", exact(5, 0), "v")
    };
    assert_eq!(store.add(&gone, 0), Ok(Some(StreamId::new(5, 0))));
    let info = store.info(b"s").unwrap();
    assert_eq!((info.length, info.entries_added), (0, 1));
    assert_eq!(
        store.add(&append("s", exact(5, 0), "v"), 0),
        Err(StreamError::IdNotAbove)
    );
    assert_eq!(store.remove(b"s"), Ok(true));
    assert_eq!(store.bytes(), 0);
    assert_eq!(store.info(b"s"), Err(StreamError::NoSuchKey));
}

#[test]
fn every_limit_refuses_and_changes_nothing() {
    let one = entry_bytes(&append("s", AddId::Auto, "0123456789").fields);
    let limits = StreamLimits {
        streams_max: 2,
        entries_max: 3,
        stream_bytes_max: 3 * one,
        total_bytes_max: 4 * one + 2 * slot_bytes(b"s"),
    };
    let mut store = StreamStore::new(limits);
    let add = |store: &mut StreamStore, key: &str, value: &str| {
        let before = (store.bytes(), all(store, key));
        let added = store.add(&append(key, AddId::Auto, value), 1);
        if added.is_err() {
            assert_eq!(before, (store.bytes(), all(store, key)));
        }
        added.err()
    };
    let value = "0123456789";
    for _ in 0..3 {
        assert_eq!(add(&mut store, "a", value), None);
    }
    let full = StreamError::TooManyEntries { entries_max: 3 };
    assert_eq!(add(&mut store, "a", value), Some(full));
    let rolling = Append {
        trim: trim(Keep::MaxLen(3)),
        ..append("a", AddId::Auto, value)
    };
    assert!(store.add(&rolling, 1).is_ok(), "a trim makes room");
    let bytes_max = limits.total_bytes_max;
    assert_eq!(add(&mut store, "b", value), None);
    assert_eq!(
        add(&mut store, "b", value),
        Some(StreamError::StoreFull { bytes_max })
    );
    assert_eq!(
        add(&mut store, "c", "v"),
        Some(StreamError::TooManyStreams { streams_max: 2 })
    );
    let bytes_max = limits.stream_bytes_max;
    let long = "x".repeat(bytes_max);
    assert_eq!(
        add(&mut store, "b", &long),
        Some(StreamError::StreamFull { bytes_max })
    );
}

#[test]
fn reads_after_an_id_and_after_now() {
    let mut store = store();
    for ms in 1..=3 {
        store.add(&append("a", exact(ms, 0), "v"), 0).unwrap();
    }
    let read = store.resolve(Read {
        count: Some(1),
        streams: vec![
            (bytes("a"), ReadFrom::After(StreamId::new(1, 0))),
            (bytes("none"), ReadFrom::Now),
            (bytes("a"), ReadFrom::Now),
            (bytes("a"), ReadFrom::After(StreamId::MAX)),
        ],
    });
    assert_eq!(read.streams[2].1, ReadFrom::After(StreamId::new(3, 0)));
    let mut found = store.read(&read, usize::MAX);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].1.next().unwrap().id, StreamId::new(2, 0));
    store.add(&append("none", exact(1, 0), "v"), 0).unwrap();
    assert_eq!(
        store.read(&read, usize::MAX).len(),
        2,
        "a stream born later is read from its start"
    );
}

#[test]
fn i8_a_read_of_many_streams_has_one_bound() {
    let mut store = store();
    for ms in 1..=10 {
        store.add(&append("a", exact(ms, 0), "v"), 0).unwrap();
    }
    store.add(&append("b", exact(1, 0), "longer"), 0).unwrap();
    let one = entry_bytes(&append("a", AddId::Auto, "v").fields);
    let from = |key| (bytes(key), ReadFrom::After(StreamId::MIN));
    let read = Read {
        count: None,
        streams: vec![from("a"), from("b"), from("a"), from("b")],
    };
    let lengths = |bytes_max| -> Vec<usize> {
        let found = store.read(&read, bytes_max);
        found.iter().map(|(_, run)| run.len()).collect()
    };
    assert_eq!(lengths(0), [1], "never empty-handed");
    assert_eq!(lengths(4 * one), [4]);
    assert_eq!(lengths(10 * one), [10], "b does not fit any more");
    assert_eq!(lengths(12 * one), [10, 1]);
    assert_eq!(lengths(usize::MAX), [10, 1, 10, 1]);
}

#[test]
fn a_stream_kept_elsewhere_is_read_and_not_written() {
    let mut log = Stream::new();
    log.push(StreamId::new(7, 0), &append("", AddId::Auto, "v").fields);
    let mut store = store();
    store.serve(b"cdc", Arc::new(log));
    assert_eq!(ids(&all(&store, "cdc")), ["7-0"]);
    assert_eq!(store.info(b"cdc").unwrap().length, 1);
    let refused = Err(StreamError::ReadOnly);
    assert_eq!(store.add(&append("cdc", AddId::Auto, "v"), 9), refused);
    assert_eq!(store.remove(b"cdc"), Err(StreamError::ReadOnly));
    assert_eq!(
        store.delete_entries(b"cdc", &[]),
        Err(StreamError::ReadOnly)
    );
    assert_eq!(store.bytes(), 0);
}

#[test]
fn an_entry_does_not_keep_the_read_buffer() {
    let big = Bytes::from(vec![b'x'; 1 << 16]);
    let mut stream = Stream::new();
    stream.push(StreamId::new(1, 0), &[(big.slice(..1), big.slice(1..2))]);
    assert!(big.is_unique());
}

#[test]
fn replies_of_both_versions() {
    let mut store = store();
    store.add(&append("s", exact(1, 2), "v"), 0).unwrap();
    let written = |proto, write: &dyn Fn(&mut Reply<'_>)| {
        let mut out = Pieces::default();
        write(&mut Reply::new(&mut out, proto));
        String::from_utf8(out.to_vec()).unwrap()
    };
    let read = |reply: &mut Reply<'_>| {
        stream_reply::read_head(reply, 1);
        stream_reply::stream_head(reply, b"s", 1);
        let all = all(&store, "s");
        all.iter().for_each(|one| stream_reply::entry(reply, one));
    };
    let entries = "*1\r\n*2\r\n$3\r\n1-2\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n";
    assert_eq!(
        written(Proto::Resp2, &read),
        format!("*1\r\n*2\r\n$1\r\ns\r\n{entries}")
    );
    assert_eq!(
        written(Proto::Resp3, &read),
        format!("%1\r\n$1\r\ns\r\n{entries}")
    );
    let nothing = |reply: &mut Reply<'_>| stream_reply::read_head(reply, 0);
    assert_eq!(written(Proto::Resp2, &nothing), "*-1\r\n");
    let info = store.info(b"s").unwrap();
    let told = |reply: &mut Reply<'_>| stream_reply::info(reply, &info);
    assert!(written(Proto::Resp2, &told).starts_with("*20\r\n$6\r\nlength\r\n:1\r\n"));
}

#[derive(Debug, Clone)]
enum Step {
    Add(u64, usize, Option<Keep>),
    Trim(Keep),
    Delete(u64),
    Remove,
}

fn step() -> impl Strategy<Value = Step> {
    let keep = prop_oneof![
        (0u64..8).prop_map(Keep::MaxLen),
        (0u64..40).prop_map(|ms| Keep::MinId(StreamId::new(ms, 0))),
    ];
    prop_oneof![
        8 => (0u64..40, 0usize..200, prop::option::of(keep.clone()))
            .prop_map(|(ms, len, keep)| Step::Add(ms, len, keep)),
        1 => keep.prop_map(Step::Trim),
        2 => (0u64..40).prop_map(Step::Delete),
        1 => Just(Step::Remove),
    ]
}

/// A stream as a plain map, without limits on bytes.
fn model_trim(model: &mut BTreeMap<u64, usize>, keep: Keep) {
    match keep {
        Keep::MaxLen(max) => {
            while model.len() as u64 > max {
                model.pop_first();
            }
        }
        Keep::MinId(min) => model.retain(|ms, _| *ms >= min.ms),
    }
}

proptest! {
    #[test]
    fn agrees_with_a_plain_map_and_counts_its_bytes(steps in prop::collection::vec(step(), 0..60)) {
        let limits = StreamLimits { entries_max: 6, ..StreamLimits::default() };
        let mut store = StreamStore::new(limits);
        let mut model: BTreeMap<u64, usize> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Add(ms, len, keep) => {
                    let mut wanted = append("s", exact(ms, 0), &"x".repeat(len));
                    wanted.trim = keep.and_then(trim);
                    if store.add(&wanted, 0).is_ok() {
                        prop_assert!(model.last_key_value().is_none_or(|(last, _)| *last < ms));
                        model.insert(ms, len);
                        keep.into_iter().for_each(|keep| model_trim(&mut model, keep));
                    }
                }
                Step::Trim(keep) => {
                    store.trim(b"s", Trim { keep, limit: None }).unwrap();
                    model_trim(&mut model, keep);
                }
                Step::Delete(ms) => {
                    let gone = store.delete_entries(b"s", &[StreamId::new(ms, 0)]).unwrap();
                    prop_assert_eq!(gone == 1, model.remove(&ms).is_some());
                }
                Step::Remove => {
                    store.remove(b"s").unwrap();
                    model.clear();
                }
            }
            let kept = all(&store, "s");
            let found: BTreeMap<u64, usize> =
                kept.iter().map(|entry| (entry.id.ms, entry.fields[0].1.len())).collect();
            prop_assert_eq!(&found, &model);
            prop_assert!(kept.len() <= 6);
            let content: usize = kept.iter().map(|entry| entry_bytes(&entry.fields)).sum();
            let slot = store.source(b"s").map_or(0, |_| slot_bytes(b"s"));
            prop_assert_eq!(store.bytes(), content + slot);
        }
    }
}
