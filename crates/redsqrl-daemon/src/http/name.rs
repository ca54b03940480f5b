//! The id in a path.

use axum::http::Uri;
use percent_encoding::percent_decode_str;
use sync_engine::{InvalidKey, Key};

/// What stands before an id in the path.
const BEFORE: &str = "/v1/items/";

/// The id that the path names: everything behind `/v1/items/`, percent-decoded once. It may contain `/`.
pub(super) fn of(uri: &Uri) -> Result<Key, InvalidKey> {
    let encoded = uri.path().strip_prefix(BEFORE).unwrap_or_default();
    let bytes: Vec<u8> = percent_decode_str(encoded).collect();
    Key::parse(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(path: &str) -> Result<Key, InvalidKey> {
        of(&path.parse().unwrap())
    }

    #[test]
    fn ids_are_decoded_once_and_checked() {
        assert_eq!(name("/v1/items/uk.nhs.1").unwrap(), "uk.nhs.1");
        assert_eq!(name("/v1/items/a%2Fb/c%20d+e").unwrap(), "a/b/c d+e");
        assert_eq!(name("/v1/items/%E6%9D%B1%2525").unwrap(), "東%25");
        assert_eq!(name("/v1/items/100%").unwrap(), "100%");
        assert_eq!(name("/v1/items/../../etc").unwrap(), "../../etc");
        assert_eq!(name("/v1/items/"), Err(InvalidKey::Empty));
        assert_eq!(
            name("/v1/items/a%0Ab"),
            Err(InvalidKey::ControlCharacter { code: 10, at: 1 })
        );
        assert_eq!(name("/v1/items/a%FF"), Err(InvalidKey::NotUtf8 { at: 1 }));
        assert!(matches!(
            name(&format!("/v1/items/{}", "a".repeat(1025))),
            Err(InvalidKey::TooLong { .. })
        ));
    }
}
