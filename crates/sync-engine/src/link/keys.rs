//! The names of the keys that are no items: the change stream, the published root, the questions of peers.

/// The prefix of these keys when no `redis_prefix` is set.
pub const PREFIX_DEFAULT: &str = "__local__:";

const CDC: &str = "cdc";
const MERKLE_ROOT: &str = "merkle:root";
const SYNC_REQUESTS: &str = "sync:req";
const SYNC_RESPONSES: &str = "sync:resp:";

/// The special keys of one node, or of several that share one Redis and one prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecialKeys {
    prefix: String,
}

impl SpecialKeys {
    /// The keys under this `redis_prefix`.
    pub fn new(redis_prefix: Option<&str>) -> Self {
        Self {
            prefix: redis_prefix.unwrap_or(PREFIX_DEFAULT).to_owned(),
        }
    }

    /// The change stream.
    pub fn cdc(&self) -> String {
        self.named(CDC)
    }

    /// The string that holds the tree's root.
    pub fn merkle_root(&self) -> String {
        self.named(MERKLE_ROOT)
    }

    /// The stream to which peers add their questions.
    pub fn sync_requests(&self) -> String {
        self.named(SYNC_REQUESTS)
    }

    /// The stream on which the peer `node` finds its answers.
    pub fn sync_responses(&self, node: &str) -> String {
        format!("{}{SYNC_RESPONSES}{node}", self.prefix)
    }

    /// Whether this whole Redis key is one of them. The cache never holds an item under it (the archive may), and the
    /// daemon takes none from its clients.
    pub fn contains(&self, key: &[u8]) -> bool {
        key.strip_prefix(self.prefix.as_bytes())
            .is_some_and(|name| {
                [CDC, MERKLE_ROOT, SYNC_REQUESTS]
                    .iter()
                    .any(|special| name == special.as_bytes())
                    || name.starts_with(SYNC_RESPONSES.as_bytes())
            })
    }

    fn named(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_the_documented_ones() {
        let local = SpecialKeys::new(None);
        assert_eq!(local.cdc(), "__local__:cdc");
        assert_eq!(local.merkle_root(), "__local__:merkle:root");
        let named = SpecialKeys::new(Some("app:"));
        assert_eq!(named.cdc(), "app:cdc");
        assert_eq!(named.sync_requests(), "app:sync:req");
        assert_eq!(named.sync_responses("uk.node"), "app:sync:resp:uk.node");
        for key in [
            named.cdc(),
            named.merkle_root(),
            named.sync_requests(),
            named.sync_responses("x"),
        ] {
            assert!(named.contains(key.as_bytes()), "{key}");
            assert!(!local.contains(key.as_bytes()), "{key}");
        }
        assert!(!named.contains(b"app:cdc.more"));
    }
}
