//! Stamps: one order for all writes of a key, the same on every node.

use std::fmt;

/// A hybrid logical time: milliseconds since the epoch in the upper 48 bits, a counter in the lower 16.
///
/// Hybrid logical clocks: Kulkarni et al., "Logical Physical Clocks", OPODIS 2014.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct HlcTime(pub u64);

impl HlcTime {
    /// The first time of this millisecond. Milliseconds before 1970 count as 0.
    pub fn from_ms(ms: i64) -> Self {
        Self(u64::try_from(ms).unwrap_or(0).min((1 << 48) - 1) << 16)
    }

    /// The millisecond part.
    pub fn ms(self) -> i64 {
        (self.0 >> 16) as i64
    }

    /// The next time; a full counter carries into the milliseconds.
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// Who accepted a write: a hash of the node's id. The lowest bit is kept free, see [`Stamp::of_expiry`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Origin(u64);

impl Origin {
    /// The origin of the node with this id on the storage that this random number was born with.
    pub fn of_node(node_id: &str, incarnation: u64) -> Self {
        let hash = xxhash_rust::xxh3::xxh3_64_with_seed(node_id.as_bytes(), incarnation);
        Self(hash & !1)
    }

    /// An origin as stored or received.
    pub fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// The number to store or send.
    pub fn raw(self) -> u64 {
        self.0
    }

    /// The origin of the node itself, for the origin of an expiry too.
    pub fn node(self) -> Self {
        Self(self.0 & !1)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The order of writes: by time, then by origin. No two writes share a stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Stamp {
    /// When, by the hybrid logical clock of the node that accepted the write.
    pub time: HlcTime,
    /// The node that accepted the write.
    pub origin: Origin,
}

impl Stamp {
    /// The stamp of the tombstone that replaces a write once it has expired.
    ///
    /// Every node derives the same one from the write alone, it is greater than the write's own, and smaller than
    /// that of any later write of the key, so that an expiry never beats a write that it did not know of.
    pub fn of_expiry(self) -> Self {
        Self {
            time: self.time,
            origin: Origin(self.origin.0 | 1),
        }
    }

    /// 16 bytes, big-endian: their byte order is the order of stamps.
    pub fn to_bytes(self) -> [u8; 16] {
        let wide = (u128::from(self.time.0) << 64) | u128::from(self.origin.0);
        wide.to_be_bytes()
    }

    /// The stamp of [`Stamp::to_bytes`].
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        let wide = u128::from_be_bytes(bytes);
        Self {
            time: HlcTime((wide >> 64) as u64),
            origin: Origin(wide as u64),
        }
    }
}

/// Shown as `<ms>.<counter>@<origin>`; [`std::str::FromStr`] reads it back.
impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counter = self.time.0 & 0xffff;
        write!(f, "{}.{}@{}", self.time.ms(), counter, self.origin)
    }
}

/// The text is not a stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a stamp: expected <milliseconds>.<counter>@<origin in 16 hex digits>")]
pub struct InvalidStamp;

impl std::str::FromStr for Stamp {
    type Err = InvalidStamp;

    fn from_str(text: &str) -> Result<Self, InvalidStamp> {
        let (time, origin) = text.split_once('@').ok_or(InvalidStamp)?;
        let (ms, counter) = time.split_once('.').ok_or(InvalidStamp)?;
        // The number parsers would take a sign.
        let are_digits = [ms, counter]
            .iter()
            .all(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
        let is_hex = origin.len() == 16 && origin.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !are_digits || !is_hex {
            return Err(InvalidStamp);
        }
        let ms: u64 = ms.parse().map_err(|_| InvalidStamp)?;
        let counter: u16 = counter.parse().map_err(|_| InvalidStamp)?;
        if ms >= 1 << 48 {
            return Err(InvalidStamp);
        }
        let origin = u64::from_str_radix(origin, 16).map_err(|_| InvalidStamp)?;
        Ok(Self {
            time: HlcTime((ms << 16) | u64::from(counter)),
            origin: Origin(origin),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stamp(time: u64, origin: u64) -> Stamp {
        Stamp {
            time: HlcTime(time),
            origin: Origin(origin),
        }
    }

    #[test]
    fn only_stamps_are_read() {
        let text = "1700000000000.3@8f0c6c1d2e3b4a50";
        assert_eq!(text.parse::<Stamp>().unwrap().to_string(), text);
        for wrong in [
            "",
            "+1700000000000.3@8f0c6c1d2e3b4a50",
            "1700000000000.+3@8f0c6c1d2e3b4a50",
            "1700000000000.3@+f0c6c1d2e3b4a50",
            "1700000000000.3@8f0c6c1d2e3b4a5",
            "1700000000000.65536@8f0c6c1d2e3b4a50",
            "281474976710656.0@8f0c6c1d2e3b4a50",
            "1700000000000.@8f0c6c1d2e3b4a50",
            ".3@8f0c6c1d2e3b4a50",
            "1700000000000.3",
        ] {
            assert_eq!(wrong.parse::<Stamp>(), Err(InvalidStamp), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn bytes_and_text_round_trip_and_keep_the_order(a: (u64, u64), b: (u64, u64)) {
            let (a, b) = (stamp(a.0, a.1), stamp(b.0, b.1));
            prop_assert_eq!(Stamp::from_bytes(a.to_bytes()), a);
            prop_assert_eq!(a.to_string().parse::<Stamp>(), Ok(a));
            prop_assert_eq!(a.cmp(&b), a.to_bytes().cmp(&b.to_bytes()));
        }

        #[test]
        fn an_expiry_is_just_above_its_write(time in 0..u64::MAX, origin: u64, other: u64) {
            let write = stamp(time, origin & !1);
            let later = stamp(time + 1, other & !1);
            prop_assert!(write < write.of_expiry() && write.of_expiry() < later);
        }
    }
}
