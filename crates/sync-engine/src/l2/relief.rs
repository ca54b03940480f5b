//! What to drop from a cache that fills up, before its server drops what nobody else keeps.

/// What one call of [`super::CacheStore::relieve`] came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Relief {
    /// Records dropped.
    pub dropped: u64,
    /// The call's budget is spent, and the cache is still fuller than it should be.
    pub is_unfinished: bool,
}

/// How full the server is, by its own word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Memory {
    used: u64,
    max: u64,
    /// What the server counts of each key: how often it is used, or when it was last.
    pub usage: Usage,
}

/// What a server can tell about the use of a key: one or the other, by its eviction policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Usage {
    /// Seconds since the last use.
    IdleTime,
    /// A logarithmic count of uses.
    Frequency,
}

/// Records used less than this ago, in seconds, stay: they may be what keeps a slow writer's older record out.
const IDLE_MIN_SECS: i64 = 2;

impl Memory {
    /// Reads the answer to `INFO memory`. `None`: without a limit, or it does not say.
    pub(super) fn parse(info: &str) -> Option<Self> {
        let field = |name| info.lines().find_map(|line| value_of(line, name));
        let bytes = |name| field(name)?.parse::<u64>().ok();
        let max = bytes("maxmemory").filter(|max| *max > 0)?;
        // The server leaves these buffers out, too, when it compares.
        let uncounted = bytes("mem_not_counted_for_evict").unwrap_or(0);
        let is_lfu = field("maxmemory_policy").is_some_and(|policy| policy.ends_with("lfu"));
        Some(Self {
            used: bytes("used_memory")?.saturating_sub(uncounted),
            max,
            usage: match is_lfu {
                true => Usage::Frequency,
                false => Usage::IdleTime,
            },
        })
    }

    /// Bytes in use above this share of the limit.
    pub(super) fn excess(&self, share: f64) -> u64 {
        // A share is at most 1, so the product is in range; a cast saturates.
        self.used.saturating_sub((self.max as f64 * share) as u64)
    }
}

fn value_of<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (key, value) = line.trim_end().split_once(':')?;
    (key == name).then_some(value)
}

/// The least used half of a sample, the least used first. `uses` is what the server said of each key; a key of which it
/// said nothing counts as used.
pub(super) fn least_used(
    keys: Vec<Vec<u8>>,
    uses: impl IntoIterator<Item = Option<i64>>,
    usage: Usage,
) -> Vec<Vec<u8>> {
    let half = keys.len().div_ceil(2);
    let mut ranked: Vec<(i64, Vec<u8>)> = keys
        .into_iter()
        .zip(uses)
        .filter_map(|(key, uses)| match (usage, uses) {
            (Usage::IdleTime, Some(idle)) if idle < IDLE_MIN_SECS => None,
            (Usage::IdleTime, Some(idle)) => Some((idle.saturating_neg(), key)),
            (Usage::Frequency, Some(count)) => Some((count, key)),
            (_, None) => Some((i64::MAX, key)),
        })
        .collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.truncate(half);
    ranked.into_iter().map(|(_, key)| key).collect()
}

/// The pattern that matches the keys with this prefix, whatever characters it has.
pub(super) fn pattern(prefix: &[u8]) -> Vec<u8> {
    let mut pattern = Vec::with_capacity(prefix.len() + 1);
    for byte in prefix {
        if b"*?[]^-\\".contains(byte) {
            pattern.push(b'\\');
        }
        pattern.push(*byte);
    }
    pattern.push(b'*');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const INFO: &str = "# Memory\r\nused_memory:900\r\nused_memory_human:900B\r\nmaxmemory:1000\r\n\
        maxmemory_human:1000B\r\nmaxmemory_policy:allkeys-lru\r\nmem_not_counted_for_evict:50\r\n";

    fn memory(info: &str) -> Memory {
        Memory::parse(info).expect("a limit")
    }

    #[test]
    fn a_server_without_a_limit_or_an_answer_is_never_full() {
        assert_eq!(
            Memory::parse(&INFO.replace("maxmemory:1000", "maxmemory:0")),
            None
        );
        for info in ["", "maxmemory:5", "used_memory:x\nmaxmemory:1", "maxmemory"] {
            assert_eq!(Memory::parse(info), None, "{info}");
        }
    }

    #[test]
    fn the_excess_is_what_the_server_counts_above_the_share() {
        assert_eq!(memory(INFO).excess(0.6), 250);
        assert_eq!(memory(INFO).excess(0.85), 0);
        assert_eq!(memory(INFO).excess(1.0), 0);
        assert_eq!(memory(INFO).usage, Usage::IdleTime);
        assert_eq!(
            memory(&INFO.replace("allkeys-lru", "volatile-lfu")).usage,
            Usage::Frequency
        );
    }

    #[test]
    fn the_least_used_go_first_and_the_newest_stay() {
        let keys = |names: &[&str]| -> Vec<Vec<u8>> {
            names.iter().map(|name| name.as_bytes().to_vec()).collect()
        };
        let all = keys(&["a", "b", "c", "d", "e"]);
        let uses = [Some(5), Some(100), None, Some(1), Some(7)];
        let by = |usage| least_used(all.clone(), uses, usage);
        assert_eq!(by(Usage::IdleTime), keys(&["b", "e", "a"]));
        assert_eq!(by(Usage::Frequency), keys(&["d", "a", "e"]));
        assert_eq!(
            least_used(keys(&["a"]), [Some(0)], Usage::IdleTime),
            keys(&[])
        );
        assert_eq!(
            least_used(keys(&["a"]), [None], Usage::IdleTime),
            keys(&["a"])
        );
    }

    #[test]
    fn a_prefix_matches_itself_alone() {
        assert_eq!(pattern(b""), b"*");
        assert_eq!(pattern(b"a*[b]\\?:"), b"a\\*\\[b\\]\\\\\\?:*");
    }

    proptest! {
        #[test]
        fn any_answer_is_read_without_a_panic(info: String, share in 0.0..=1.0f64) {
            if let Some(memory) = Memory::parse(&info) {
                prop_assert!(memory.excess(share) <= memory.used);
            }
        }
    }
}
