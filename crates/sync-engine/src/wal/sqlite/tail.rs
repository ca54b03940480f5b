//! Looks at the end of the `-wal` file before SQLite does.
//!
//! SQLite takes what is intact from the start and passes over the rest without a word. That is right after a crash in the middle
//! of a write, but it would also hide that synced writes were damaged. The layout is the one of <https://sqlite.org/fileformat2.html#walformat>.

use std::io::{self, Read};

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
/// The magic number; its lowest bit says that checksums are over big-endian words.
const MAGIC: u32 = 0x377f_0682;
const PAGE_MAX: usize = 65_536;

/// What the end of the file looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// Every transaction in it is whole.
    Whole,
    /// Behind `from` stands a beginning of a transaction, `bytes` long: a write that was cut off.
    Unfinished {
        /// Offset of its first byte.
        from: u64,
        /// Its length.
        bytes: u64,
    },
    /// The frame at `from` does not match its checksum, and transactions that were finished stand behind it: they cannot be read.
    Broken {
        /// Offset of the frame.
        from: u64,
    },
}

/// The two running sums of the file's checksum.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
struct Sums(u32, u32);

impl Sums {
    fn add(mut self, bytes: &[u8], big_endian: bool) -> Self {
        let (words, _) = bytes.as_chunks::<8>();
        for &[a, b, c, d, e, f, g, h] in words {
            let (x, y) = ([a, b, c, d], [e, f, g, h]);
            let (x, y) = match big_endian {
                true => (u32::from_be_bytes(x), u32::from_be_bytes(y)),
                false => (u32::from_le_bytes(x), u32::from_le_bytes(y)),
            };
            self.0 = self.0.wrapping_add(x).wrapping_add(self.1);
            self.1 = self.1.wrapping_add(y).wrapping_add(self.0);
        }
        self
    }
}

/// The word at `at`; 0 past the end, which no check below takes for good.
fn word(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..)
        .and_then(|rest| rest.first_chunk::<4>())
        .map_or(0, |chunk| u32::from_be_bytes(*chunk))
}

/// The parts of the file's header that the frames refer to.
struct Header {
    page: usize,
    big_endian: bool,
    salts: (u32, u32),
    sums: Sums,
}

impl Header {
    fn parse(bytes: &[u8; HEADER]) -> Option<Self> {
        let magic = word(bytes, 0);
        let page = word(bytes, 8) as usize;
        let big_endian = magic & 1 == 1;
        let sums = Sums::default().add(&bytes[..24], big_endian);
        let sound = magic & !1 == MAGIC
            && page.is_power_of_two()
            && (512..=PAGE_MAX).contains(&page)
            && sums == Sums(word(bytes, 24), word(bytes, 28));
        sound.then_some(Self {
            page,
            big_endian,
            salts: (word(bytes, 16), word(bytes, 20)),
            sums,
        })
    }
}

/// What has been seen of the frames so far.
struct Survey {
    header: Header,
    sums: Sums,
    /// End of the last whole transaction.
    whole: u64,
    /// End of the last frame of this generation of the file.
    end: u64,
    /// Where the first frame stands that cannot be used.
    bad: Option<u64>,
    /// Whether a finished transaction stands behind `bad`.
    lost: bool,
}

impl Survey {
    /// Takes the frame at `offset`; shorter than a frame at the end of the file.
    fn frame(&mut self, offset: u64, frame: &[u8]) {
        let ours = (word(frame, 8), word(frame, 12)) == self.header.salts;
        let commits = word(frame, 4) != 0;
        let after = offset + frame.len() as u64;
        if self.bad.is_some() {
            if ours {
                self.end = after;
                self.lost |= commits;
            }
            return;
        }
        let complete = frame.len() == FRAME_HEADER + self.header.page;
        let sums = self
            .sums
            .add(frame.get(..8).unwrap_or_default(), self.header.big_endian);
        let sums = sums.add(
            frame.get(FRAME_HEADER..).unwrap_or_default(),
            self.header.big_endian,
        );
        if ours && complete && sums == Sums(word(frame, 16), word(frame, 20)) {
            self.sums = sums;
            self.end = after;
            if commits {
                self.whole = after;
            }
            return;
        }
        self.bad = Some(offset);
        // A frame with other salts is a rest of an earlier generation; one too short for salts may be ours.
        if ours || frame.len() < 16 {
            self.end = after;
        }
    }

    fn verdict(&self) -> Tail {
        match self.bad {
            Some(from) if self.lost => Tail::Broken { from },
            _ if self.end > self.whole => Tail::Unfinished {
                from: self.whole,
                bytes: self.end - self.whole,
            },
            _ => Tail::Whole,
        }
    }
}

/// Reads the `-wal` file from its start to its end.
pub fn survey(mut file: impl Read) -> io::Result<Tail> {
    let mut head = [0; HEADER];
    let found = fill(&mut file, &mut head)?;
    if found < HEADER {
        return Ok(match found {
            0 => Tail::Whole,
            _ => Tail::Unfinished {
                from: 0,
                bytes: found as u64,
            },
        });
    }
    let Some(header) = Header::parse(&head) else {
        return Ok(Tail::Broken { from: 0 });
    };
    let mut frame = vec![0; FRAME_HEADER + header.page];
    let mut offset = HEADER as u64;
    let mut survey = Survey {
        sums: header.sums,
        header,
        whole: offset,
        end: offset,
        bad: None,
        lost: false,
    };
    loop {
        let found = fill(&mut file, &mut frame)?;
        let Some(read) = frame.get(..found).filter(|read| !read.is_empty()) else {
            return Ok(survey.verdict());
        };
        survey.frame(offset, read);
        offset += found as u64;
    }
}

/// Fills the buffer as far as the file goes.
fn fill(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut found = 0;
    while let Some(rest) = buffer.get_mut(found..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(more) => found += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::Connection;

    /// The bytes of a `-wal` file with some transactions, and the offset at which the last one begins.
    fn written() -> (Vec<u8>, usize) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        let wal = dir.path().join("a.db-wal");
        let conn = Connection::open(&path).unwrap();
        conn.execute_batch(
            "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; CREATE TABLE t (x)",
        )
        .unwrap();
        let mut before = 0;
        for n in 0..4 {
            before = std::fs::metadata(&wal).unwrap().len() as usize;
            conn.execute("INSERT INTO t VALUES (?)", [vec![n; 10_000]])
                .unwrap();
        }
        (std::fs::read(&wal).unwrap(), before)
    }

    #[test]
    fn what_sqlite_wrote_is_whole() {
        assert_eq!(survey(&written().0[..]).unwrap(), Tail::Whole);
        assert_eq!(survey(&[][..]).unwrap(), Tail::Whole);
    }

    #[test]
    fn a_cut_off_write_is_unfinished_and_the_rest_is_kept() {
        let (bytes, last) = written();
        for cut in [last + 1, last + 30, last + 4120, bytes.len() - 1] {
            let expected = Tail::Unfinished {
                from: last as u64,
                bytes: (cut - last) as u64,
            };
            assert_eq!(survey(&bytes[..cut]).unwrap(), expected, "cut at {cut}");
        }
        assert_eq!(survey(&bytes[..last]).unwrap(), Tail::Whole);
        assert!(matches!(
            survey(&bytes[..20]).unwrap(),
            Tail::Unfinished { from: 0, bytes: 20 }
        ));
    }

    #[test]
    fn damage_before_a_finished_write_is_broken() {
        let (bytes, last) = written();
        for at in [0, 17, 32 + 8, 32 + 100, last + 8, last + 100] {
            let mut bytes = bytes.clone();
            bytes[at] ^= 0x10;
            assert!(
                matches!(survey(&bytes[..]).unwrap(), Tail::Broken { .. }),
                "flipped at {at}"
            );
        }
    }

    #[test]
    fn damage_in_the_very_last_frame_is_seen() {
        let (mut bytes, last) = written();
        let end = bytes.len();
        bytes[end - 1] ^= 1;
        let expected = Tail::Unfinished {
            from: last as u64,
            bytes: (end - last) as u64,
        };
        assert_eq!(survey(&bytes[..]).unwrap(), expected);
    }

    #[test]
    fn the_rest_of_an_earlier_generation_is_no_damage() {
        let dir = tempfile::tempdir().unwrap();
        let wal = dir.path().join("a.db-wal");
        let conn = Connection::open(dir.path().join("a.db")).unwrap();
        conn.execute_batch(
            "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; CREATE TABLE t (x)",
        )
        .unwrap();
        conn.execute("INSERT INTO t VALUES (?)", [vec![1; 50_000]])
            .unwrap();
        conn.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(()))
            .unwrap();
        conn.execute("INSERT INTO t VALUES (?)", [vec![2; 5_000]])
            .unwrap();
        let bytes = std::fs::read(&wal).unwrap();
        assert!(bytes.len() > 50_000, "the file is reused");
        assert_eq!(survey(&bytes[..]).unwrap(), Tail::Whole);
    }
}
