//! The order of writes, as clients see it.

/// A stamp as the HTTP face shows it, `<ms>.<counter>@<origin>`, in the order of writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    ms: u64,
    counter: u16,
    origin: u64,
}

impl Stamp {
    /// Reads the text; `None` when it is something else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (time, origin) = text.split_once('@')?;
        let (ms, counter) = time.split_once('.')?;
        Some(Self {
            ms: ms.parse().ok()?,
            counter: counter.parse().ok()?,
            origin: u64::from_str_radix(origin, 16).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_read_and_ordered() {
        let stamp = |text| Stamp::parse(text).unwrap();
        assert!(stamp("9.0@ff") < stamp("10.0@00"));
        assert!(stamp("10.9@ff") < stamp("10.10@00"));
        assert!(stamp("10.1@0f") < stamp("10.1@f0"));
        for wrong in ["", "1", "1.2", "1@2", "1.2@xyz", "1.70000@ff", "-1.0@ff"] {
            assert_eq!(Stamp::parse(wrong), None, "{wrong}");
        }
        let real = sync_engine::Stamp {
            time: sync_engine::HlcTime(0x0123_4567_89ab_cdef),
            origin: sync_engine::Origin::of_node("a", 0),
        };
        let read = Stamp::parse(&real.to_string()).unwrap();
        assert_eq!(
            (i64::try_from(read.ms).unwrap(), read.origin),
            (real.time.ms(), real.origin.raw())
        );
        assert_eq!(read.counter, 0xcdef);
    }
}
