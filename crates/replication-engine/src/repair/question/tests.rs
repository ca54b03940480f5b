use std::sync::OnceLock;

use super::*;
use proptest::prelude::*;
use sync_engine::SyncItem;
use sync_engine::item::Stored;
use sync_engine::merkle::Sketch;

const MAX: usize = 1 << 20;

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..40)
}

fn question() -> impl Strategy<Value = Question> {
    let prefixes = prop::collection::btree_set(bytes(), 0..64);
    let summaries =
        (prefixes, any::<(u16, u16)>()).prop_map(|(prefixes, (groups_max, leaves_max))| {
            Question::Summaries {
                prefixes: prefixes.into_iter().collect(),
                detail: Detail {
                    groups_max,
                    leaves_max,
                },
            }
        });
    let keys = prop::collection::vec("[a-zß.]{1,30}", 0..40);
    let range = (
        prop::option::of(bytes()),
        prop::option::of(bytes()),
        any::<u64>(),
    );
    let samples = prop::collection::vec(any::<u32>(), 0..9);
    prop_oneof![
        Just(Question::Root),
        summaries,
        keys.prop_map(|keys| Question::Records {
            keys: keys.into_iter().map(Key::from).collect()
        }),
        range.prop_map(|(after, end, bytes_max)| Question::Range {
            after,
            end,
            bytes_max
        }),
        (0..=SKETCH_CELLS, 0..=SKETCH_CELLS, samples).prop_map(|(from, count, samples)| {
            Question::Cells {
                from,
                count,
                samples,
            }
        }),
    ]
}

/// The first cells of a sketch.
fn cells(count: usize) -> Vec<Cell> {
    static SKETCH: OnceLock<Sketch> = OnceLock::new();
    let sketch = SKETCH.get_or_init(|| {
        let mut sketch = Sketch::default();
        for n in 0..20 {
            let stored = Stored::Live(SyncItem::new(format!("k.{n}"), Vec::new()));
            let key = stored.key().as_bytes();
            sketch.insert(key, &stored.leaf(), &stored.leaf().digest(key));
        }
        sketch
    });
    sketch.first(count).to_vec()
}

fn answer() -> impl Strategy<Value = Answer> {
    let list = || prop::collection::vec(bytes().prop_map(Bytes::from), 0..30);
    prop_oneof![
        prop_oneof![
            Just(Refusal::NotUnderstood),
            Just(Refusal::Unavailable),
            Just(Refusal::Busy)
        ]
        .prop_map(Answer::Refusal),
        aggregate().prop_map(Answer::Root),
        list().prop_map(Answer::Summaries),
        (0..100usize, list()).prop_map(|(done, records)| Answer::Records { done, records }),
        (any::<bool>(), list()).prop_map(|(done, records)| Answer::Range { done, records }),
        (aggregate(), 0..200usize).prop_map(|(aggregate, count)| {
            let cells = cells(count);
            Answer::Cells { aggregate, cells }
        }),
    ]
}

fn aggregate() -> impl Strategy<Value = Aggregate> {
    let bytes = prop::collection::vec(any::<u8>(), 40..=40);
    bytes.prop_map(|bytes| Aggregate::from_bytes(&bytes.try_into().unwrap()))
}

proptest! {
    #[test]
    fn questions_come_back_and_cut_ones_do_not(question in question(), at: prop::sample::Index) {
        let bytes = encode_question(&question);
        prop_assert_eq!(decode_question(&bytes).unwrap(), question);
        prop_assert!(decode_question(&bytes[..at.index(bytes.len())]).is_err());
    }

    #[test]
    fn answers_come_back_and_cut_ones_do_not(answer in answer(), at: prop::sample::Index) {
        let bytes = encode_answer(&answer);
        prop_assert_eq!(decode_answer(bytes.clone(), MAX).unwrap(), answer);
        prop_assert!(decode_answer(bytes.slice(..at.index(bytes.len())), MAX).is_err());
    }

    #[test]
    fn i12_noise_is_an_error_not_a_panic(mut noise in prop::collection::vec(any::<u8>(), 0..300), tame: bool, kind in 0..5u8) {
        if tame && noise.len() > 3 {
            noise[..3].copy_from_slice(&[0, 1, kind]);
        }
        decode_answer(noise.clone().into(), MAX).ok();
        if tame && noise.len() > 3 {
            decode_question(&noise[1..]).ok();
        }
        decode_question(&noise).ok();
        prop_assert!(decode_record(noise.into()).is_err());
    }
}

#[test]
fn i12_a_record_with_another_payload_or_from_nowhere_is_refused() {
    let item = SyncItem::new("k", &b"content"[..]);
    assert_eq!(
        decode_record(encode_record(&Stored::Live(item.clone()))).unwrap(),
        Stored::Live(item.clone())
    );
    let (key, kind) = (item.object_id.clone(), item.content_type);
    let forged = SyncItem::from_parts(key, (&b"other"[..]).into(), item.content_hash, kind);
    let refused = decode_record(encode_record(&Stored::Live(forged)));
    assert!(matches!(refused, Err(RecordError::HashMismatch { .. })));
    let options = sync_engine::SubmitOptions::cache(sync_engine::CacheTtl::Hour);
    let cached = item.with_options(options);
    let refused = decode_record(encode_record(&Stored::Live(cached)));
    assert!(matches!(refused, Err(RecordError::NotArchived { .. })));
}

#[test]
fn i12_a_bomb_is_refused() {
    let answer = Answer::Range {
        done: true,
        records: vec![Bytes::from(vec![0; 8 << 20])],
    };
    let bytes = encode_answer(&answer);
    assert!(bytes.len() < 64 << 10);
    assert!(matches!(
        decode_answer(bytes, MAX),
        Err(CodecError::Compressed(_))
    ));
}
