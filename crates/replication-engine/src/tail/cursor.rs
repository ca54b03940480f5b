//! How far a peer's stream has been followed, and what shows that something was missed. Pure.
//!
//! **Rule:** a cursor moves only past events that are durably applied (or were refused for good). So the driver works on a
//! copy and keeps it only after the store has confirmed.

use sync_engine::cdc::event::Epoch;
use sync_engine::cdc::stream_id::StreamId;

use crate::limits::EPOCHS_MAX;

/// Why the cold path must be asked: events went by that were never read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missed {
    /// The stream was never followed before.
    NoCursor,
    /// The cursor is one of another stream: the peer has moved.
    OtherStream,
    /// The stream ends before the cursor: it was emptied, or another server took over.
    Reset,
    /// A writer began to count anew.
    NewEpoch,
    /// Numbers are missing.
    Gap,
    /// An entry was too large to be read.
    Oversize,
    /// The archive refused what was read.
    Refused,
}

impl Missed {
    /// One word for logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoCursor => "no_cursor",
            Self::OtherStream => "other_stream",
            Self::Reset => "reset",
            Self::NewEpoch => "new_epoch",
            Self::Gap => "gap",
            Self::Oversize => "oversize",
            Self::Refused => "refused",
        }
    }
}

/// A place in a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// In which stream, as the peer's settings name it.
    pub stream: String,
    /// The last entry that was dealt with.
    pub at: StreamId,
    /// The lives of the stream met so far with the last number of each, the most recent last. Several: engines that share
    /// one Redis write to one stream, each in a life of its own.
    pub epochs: Vec<(Epoch, u64)>,
}

impl Cursor {
    /// The cursor of a stream that is followed from its end on, because the cold path brings what came before.
    pub fn from_end(stream: &str, last: StreamId, newest: Option<(Epoch, u64)>) -> Self {
        Self {
            stream: stream.to_owned(),
            at: last,
            epochs: newest.into_iter().collect(),
        }
    }

    /// Where to follow `stream` (again), which ends with `last`, the event `newest`; and what shows that events went by.
    ///
    /// A cursor under another name is one of this stream if it knows the life in which the stream is: those are random.
    pub fn resume(
        kept: Option<Self>,
        stream: &str,
        last: StreamId,
        newest: Option<(Epoch, u64)>,
    ) -> (Self, Option<Missed>) {
        let from_end = || Self::from_end(stream, last, newest);
        let Some(mut cursor) = kept else {
            return (from_end(), Some(Missed::NoCursor));
        };
        let is_known = newest.is_some_and(|(epoch, _)| cursor.last_of(epoch).is_some());
        if cursor.stream != stream && !is_known {
            return (from_end(), Some(Missed::OtherStream));
        }
        stream.clone_into(&mut cursor.stream);
        if last >= cursor.at {
            return (cursor, None);
        }
        // Whatever is there now is new to us.
        cursor.at = StreamId::MIN;
        (cursor, Some(Missed::Reset))
    }

    /// The last number known of a life of the stream.
    pub fn last_of(&self, epoch: Epoch) -> Option<u64> {
        let known = self.epochs.iter().find(|(known, _)| *known == epoch);
        known.map(|(_, last)| *last)
    }

    /// Moves past a well-formed event. Says when its number shows that others were missed.
    pub fn pass(&mut self, id: StreamId, epoch: Epoch, seq: u64) -> Option<Missed> {
        self.at = self.at.max(id);
        let known = self.epochs.iter().position(|(known, _)| *known == epoch);
        let (last, missed) = match known.map(|at| self.epochs.remove(at)) {
            None => (seq, Some(Missed::NewEpoch)),
            Some((_, last)) if seq > last.saturating_add(1) => (seq, Some(Missed::Gap)),
            Some((_, last)) => (last.max(seq), None),
        };
        if self.epochs.len() >= EPOCHS_MAX {
            self.epochs.remove(0);
        }
        self.epochs.push((epoch, last));
        missed
    }

    /// Moves past an entry that is no event, or was not read. If it was one once, the next number shows it.
    pub fn pass_malformed(&mut self, id: StreamId) {
        self.at = self.at.max(id);
    }

    /// The numbers of all lives as text, for the file: `epoch:seq,…`.
    pub fn epochs_text(&self) -> String {
        let one = |(epoch, seq): &(Epoch, u64)| format!("{epoch}:{seq}");
        self.epochs.iter().map(one).collect::<Vec<_>>().join(",")
    }

    /// The numbers of [`Cursor::epochs_text`]; `None`: it is not such a text.
    pub fn parse_epochs(text: &str) -> Option<Vec<(Epoch, u64)>> {
        let one = |pair: &str| {
            let (epoch, seq) = pair.split_once(':')?;
            let epoch = u64::from_str_radix(epoch, 16).ok()?;
            Some((Epoch(epoch), seq.parse().ok()?))
        };
        let pairs = text.split(',').filter(|pair| !pair.is_empty());
        let epochs: Option<Vec<_>> = pairs.map(one).collect();
        epochs.filter(|epochs| epochs.len() <= EPOCHS_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(ms: u64) -> StreamId {
        StreamId { ms, seq: 0 }
    }

    #[test]
    fn whatever_was_missed_shows() {
        let mut cursor = Cursor::from_end("s", id(10), Some((Epoch(1), 5)));
        assert_eq!(cursor.pass(id(11), Epoch(1), 6), None);
        assert_eq!(
            cursor.pass(id(12), Epoch(1), 6),
            None,
            "a repetition is none"
        );
        assert_eq!(cursor.pass(id(13), Epoch(1), 9), Some(Missed::Gap));
        assert_eq!(cursor.pass(id(14), Epoch(1), 10), None);
        assert_eq!(cursor.pass(id(15), Epoch(2), 1), Some(Missed::NewEpoch));
        assert_eq!(
            cursor.pass(id(16), Epoch(1), 11),
            None,
            "two writers, one stream"
        );
        cursor.pass_malformed(id(17));
        assert_eq!(cursor.at, id(17));
        assert_eq!(cursor.pass(id(18), Epoch(2), 3), Some(Missed::Gap));
        let kept = Some(cursor.clone());
        assert_eq!(Cursor::resume(kept, "s", id(18), None), (cursor, None));
    }

    #[test]
    fn a_cursor_belongs_to_a_stream() {
        let kept = Cursor::from_end("s", id(10), Some((Epoch(1), 5)));
        let resume = |stream, last, epoch| {
            let newest = Some((Epoch(epoch), 9));
            let (cursor, missed) = Cursor::resume(Some(kept.clone()), stream, id(last), newest);
            assert_eq!(cursor.stream, stream);
            (cursor.at, missed)
        };
        assert_eq!(resume("s", 10, 1), (id(10), None));
        assert_eq!(resume("s", 20, 2), (id(10), None), "its events tell");
        assert_eq!(resume("s", 9, 1), (StreamId::MIN, Some(Missed::Reset)));
        assert_eq!(resume("t", 20, 1), (id(10), None), "another way to it");
        assert_eq!(resume("t", 20, 2), (id(20), Some(Missed::OtherStream)));
        let (cursor, missed) = Cursor::resume(Some(kept), "t", id(20), None);
        assert_eq!((cursor.at, missed), (id(20), Some(Missed::OtherStream)));
        let (cursor, missed) = Cursor::resume(None, "t", id(20), Some((Epoch(3), 7)));
        assert_eq!((cursor.at, missed), (id(20), Some(Missed::NoCursor)));
        assert_eq!(cursor.last_of(Epoch(3)), Some(7));
    }

    proptest! {
        #[test]
        fn i11_a_lost_event_is_never_passed_over_in_silence(lost in prop::collection::btree_set(1..60u64, 0..10)) {
            let mut cursor = Cursor::from_end("s", id(0), Some((Epoch(7), 0)));
            let mut missed = 0;
            for seq in (1..=60).filter(|seq| !lost.contains(seq)) {
                missed += usize::from(cursor.pass(id(seq), Epoch(7), seq).is_some());
            }
            prop_assert_eq!(missed == 0, lost.is_empty());
        }

        #[test]
        fn it_never_goes_back_and_stays_small(events in prop::collection::vec((0..50u64, 0..100u64, any::<u64>()), 0..200)) {
            let mut cursor = Cursor::default();
            for (ms, epoch, seq) in events {
                let before = cursor.at;
                cursor.pass(id(ms), Epoch(epoch), seq);
                prop_assert!(cursor.at >= before && cursor.epochs.len() <= EPOCHS_MAX);
            }
            prop_assert_eq!(Cursor::parse_epochs(&cursor.epochs_text()), Some(cursor.epochs));
        }

        #[test]
        fn any_text_is_none_not_a_panic(text: String) {
            Cursor::parse_epochs(&text);
        }
    }
}
