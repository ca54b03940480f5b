//! Keys (`object_id`): reverse-DNS style names such as `uk.nhs.patient.record.123`.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::limits::KEY_BYTES_MAX;

/// The name of an item. Cheap to clone.
///
/// Keys are ordered by their UTF-8 bytes everywhere: in memory, in SQL and in the Merkle tree.
/// A `Key` made with `From` may still be unfit; the engine refuses unfit keys at ingest (see [`Key::check`]).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

/// Why a key was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// The key has no characters.
    #[error("the key is empty")]
    Empty,
    /// The key is longer than the limit.
    #[error("the key is {bytes} bytes long, the limit is {KEY_BYTES_MAX}")]
    TooLong {
        /// Its length in bytes of UTF-8.
        bytes: usize,
    },
    /// The key contains a control character (U+0000–U+001F, U+007F–U+009F).
    #[error("the key has the control character U+{code:04X} at byte {at}")]
    ControlCharacter {
        /// Its code point.
        code: u32,
        /// Byte offset of the character.
        at: usize,
    },
    /// The bytes are not UTF-8.
    #[error("the key is not UTF-8: invalid byte at {at}")]
    NotUtf8 {
        /// Byte offset of the first invalid byte.
        at: usize,
    },
}

impl Key {
    /// A key from bytes off the wire, checked.
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidKey> {
        let text = std::str::from_utf8(bytes).map_err(|e| InvalidKey::NotUtf8 {
            at: e.valid_up_to(),
        })?;
        Self::check_str(text)?;
        Ok(Self(text.into()))
    }

    /// Whether this key may be stored.
    pub fn check(&self) -> Result<(), InvalidKey> {
        Self::check_str(&self.0)
    }

    fn check_str(text: &str) -> Result<(), InvalidKey> {
        if text.is_empty() {
            return Err(InvalidKey::Empty);
        }
        if text.len() > KEY_BYTES_MAX {
            return Err(InvalidKey::TooLong { bytes: text.len() });
        }
        match text.char_indices().find(|(_, c)| c.is_control()) {
            None => Ok(()),
            Some((at, c)) => Err(InvalidKey::ControlCharacter {
                code: u32::from(c),
                at,
            }),
        }
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for Key {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Key {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<String> for Key {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<&Key> for Key {
    fn from(key: &Key) -> Self {
        key.clone()
    }
}

impl PartialEq<str> for Key {
    fn eq(&self, other: &str) -> bool {
        &*self.0 == other
    }
}

impl PartialEq<&str> for Key {
    fn eq(&self, other: &&str) -> bool {
        &*self.0 == *other
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfit_keys_are_named() {
        assert_eq!(Key::parse(b""), Err(InvalidKey::Empty));
        assert_eq!(
            Key::parse(&[b'a'; 1025]),
            Err(InvalidKey::TooLong { bytes: 1025 })
        );
        assert_eq!(
            Key::parse(b"a\nb"),
            Err(InvalidKey::ControlCharacter { code: 10, at: 1 })
        );
        assert_eq!(Key::parse(b"ab\xff"), Err(InvalidKey::NotUtf8 { at: 2 }));
        assert!(Key::parse("größe.東京".as_bytes()).is_ok());
        assert!(Key::parse(&[b'a'; 1024]).is_ok());
    }
}
