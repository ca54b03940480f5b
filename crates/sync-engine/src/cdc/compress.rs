//! Payload compression for the stream, with contexts kept per thread: making one costs more than using it.

use std::cell::RefCell;
use std::io;

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::get_frame_content_size;

/// Fastest of the useful levels: the stream is a hot path.
const LEVEL: i32 = 1;

/// Payloads below this many bytes are not worth the attempt.
pub const WORTH_BYTES_MIN: usize = 256;

thread_local! {
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Why bytes could not be decompressed.
#[derive(Debug, thiserror::Error)]
pub enum DecompressError {
    /// The frame says that it holds more than allowed; nothing was decompressed.
    #[error("it would decompress to {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// What the frame says.
        bytes: u64,
        /// What is allowed.
        limit: usize,
    },
    /// The bytes do not begin with a zstd frame.
    #[error("it is not a zstd frame")]
    NotZstd,
    /// The frame is damaged, or holds more than it said or than allowed.
    #[error("it does not decompress: {0}")]
    Damaged(#[source] io::Error),
}

/// The zstd frame of `data`, or `None` when `data` is short or the frame would save less than a tenth.
pub fn compress_if_worth(data: &[u8]) -> Option<Vec<u8>> {
    if data.len() < WORTH_BYTES_MIN {
        return None;
    }
    COMPRESSOR.with_borrow_mut(|slot| {
        let compressor = prepared(slot, || Compressor::new(LEVEL)).ok()?;
        // A frame that does not fit into nine tenths is one that is not worth it: zstd says so by an error.
        let mut frame = Vec::with_capacity(data.len() / 10 * 9);
        compressor.compress_to_buffer(data, &mut frame).ok()?;
        frame.shrink_to_fit();
        Some(frame)
    })
}

/// What the zstd frame holds, at most `bytes_max` bytes: that is also the most memory it takes.
pub fn decompress(frame: &[u8], bytes_max: usize) -> Result<Vec<u8>, DecompressError> {
    match get_frame_content_size(frame) {
        Err(_) => return Err(DecompressError::NotZstd),
        Ok(Some(bytes)) if bytes > bytes_max as u64 => {
            return Err(DecompressError::TooLarge {
                bytes,
                limit: bytes_max,
            });
        }
        Ok(_) => {}
    }
    DECOMPRESSOR.with_borrow_mut(|slot| {
        let mut data = prepared(slot, Decompressor::new)
            .and_then(|decompressor| decompressor.decompress(frame, bytes_max))
            .map_err(DecompressError::Damaged)?;
        data.shrink_to_fit();
        Ok(data)
    })
}

fn prepared<T>(slot: &mut Option<T>, new: impl FnOnce() -> io::Result<T>) -> io::Result<&mut T> {
    match slot {
        Some(context) => Ok(context),
        None => Ok(slot.insert(new()?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_what_pays_is_compressed() {
        assert!(compress_if_worth(&[0; WORTH_BYTES_MIN - 1]).is_none());
        let frame = compress_if_worth(&[0; 10_000]).unwrap();
        assert!(frame.len() < 100);
        assert_eq!(decompress(&frame, 10_000).unwrap(), vec![0; 10_000]);
        // A frame does not compress again.
        let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..))
            .take(5_000)
            .collect();
        assert!(compress_if_worth(&noise).is_none());
    }

    #[test]
    fn a_bomb_is_refused_by_its_header() {
        let bomb = compress_if_worth(&vec![0; 64 << 20]).unwrap();
        assert!(bomb.len() < 16 << 10);
        assert!(matches!(
            decompress(&bomb, 1 << 20),
            Err(DecompressError::TooLarge { bytes, limit }) if bytes == 64 << 20 && limit == 1 << 20
        ));
    }

    #[test]
    fn a_bomb_that_hides_its_size_is_stopped_at_the_limit() {
        // The streaming encoder does not know the size when it writes the header.
        let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
        io::copy(&mut io::Read::take(io::repeat(0), 8 << 20), &mut encoder).unwrap();
        let bomb = encoder.finish().unwrap();
        assert!(matches!(get_frame_content_size(&bomb), Ok(None)));
        assert!(matches!(
            decompress(&bomb, 1 << 20),
            Err(DecompressError::Damaged(_))
        ));
        assert_eq!(decompress(&bomb, 8 << 20).unwrap().len(), 8 << 20);
        // Two frames, each below the limit, together above it.
        let half = compress_if_worth(&vec![0; 700 << 10]).unwrap();
        assert!(decompress(&[half.clone(), half].concat(), 1 << 20).is_err());
    }

    #[test]
    fn a_frame_that_lies_about_its_size_is_damaged() {
        let frame = compress_if_worth(&[7; 4_000]).unwrap();
        for at in 0..frame.len() {
            let mut wrong = frame.clone();
            wrong[at] ^= 0x55;
            if let Ok(data) = decompress(&wrong, 10_000) {
                assert!(data.len() <= 10_000);
            }
            assert!(decompress(&frame[..at], 10_000).is_err());
        }
    }

    proptest! {
        #[test]
        fn round_trip(seed in prop::collection::vec(any::<u8>(), 1..64), times in 1..200usize) {
            let data = seed.repeat(times);
            if let Some(frame) = compress_if_worth(&data) {
                prop_assert!(frame.len() * 10 <= data.len() * 9);
                prop_assert_eq!(decompress(&frame, data.len()).unwrap(), data);
            }
        }

        #[test]
        fn any_bytes_are_an_error_not_a_panic(bytes: Vec<u8>) {
            prop_assert!(decompress(&bytes, 1 << 16).map_or(true, |data| data.len() <= 1 << 16));
        }
    }
}
