//! How an item's key becomes a Redis key.

use crate::item::key::Key;
use crate::link::keys::SpecialKeys;

/// The Redis keys of items: `redis_prefix` + the item's key.
#[derive(Clone, Debug)]
pub struct ItemKeys {
    prefix: String,
    special: SpecialKeys,
}

impl ItemKeys {
    /// The keys under this `redis_prefix`.
    pub fn new(redis_prefix: Option<&str>) -> Self {
        Self {
            prefix: redis_prefix.unwrap_or_default().to_owned(),
            special: SpecialKeys::new(redis_prefix),
        }
    }

    /// The Redis key of an item. `None` for an item whose Redis key is taken by the change stream or its like: such an
    /// item is never cached.
    pub fn of(&self, key: &Key) -> Option<Vec<u8>> {
        let name = [self.prefix.as_bytes(), key.as_bytes()].concat();
        (!self.is_special(&name)).then_some(name)
    }

    /// What every Redis key of an item begins with.
    pub fn prefix(&self) -> &[u8] {
        self.prefix.as_bytes()
    }

    /// Whether this Redis key is that of the change stream or its like.
    pub fn is_special(&self, name: &[u8]) -> bool {
        self.special.contains(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_never_takes_the_place_of_the_change_stream() {
        let keys = ItemKeys::new(Some("app:"));
        assert_eq!(keys.of(&"a.b".into()), Some(b"app:a.b".to_vec()));
        assert_eq!(keys.of(&"cdc".into()), None);
        assert_eq!(keys.of(&"merkle:root".into()), None);
        let keys = ItemKeys::new(None);
        assert_eq!(keys.of(&"cdc".into()), Some(b"cdc".to_vec()));
        assert_eq!(keys.of(&"__local__:cdc".into()), None);
    }
}
