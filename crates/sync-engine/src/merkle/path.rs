//! The tree seen by path: segments of keys between dots.
//!
//! The subtree of a path `uk.nhs` is the key `uk.nhs` itself and every key that begins with `uk.nhs.`; the empty path is all
//! keys. A subtree is thus one key and one prefix, and needs no nodes of its own.

use std::collections::BTreeMap;

use parking_lot::RwLock;

use super::node::Aggregate;
use super::read;
use super::tree::Tree;
use crate::item::key::Key;
use crate::l3::{ArchiveError, ArchiveStore, KeyRange};

/// The prefix of all keys below a path: `uk.nhs` → `uk.nhs.`; empty for the empty path.
pub fn below(path: &str) -> String {
    match path {
        "" => String::new(),
        path => format!("{path}."),
    }
}

/// The segment by which `key` goes on below `path`; `None` when it does not lie below.
pub fn segment<'a>(path: &str, key: &'a str) -> Option<&'a str> {
    let rest = match path {
        "" => key,
        path => key.strip_prefix(path)?.strip_prefix('.')?,
    };
    rest.split('.').next()
}

/// The aggregate of the path's subtree.
pub async fn aggregate(
    tree: &RwLock<Tree>,
    archive: &dyn ArchiveStore,
    path: &str,
) -> Result<Aggregate, ArchiveError> {
    let mut total = read::aggregate(tree, archive, below(path).as_bytes()).await?;
    if !path.is_empty() {
        let key = Key::from(path);
        for leaf in archive
            .leaves_of(std::slice::from_ref(&key))
            .await?
            .iter()
            .flatten()
        {
            total.insert(&leaf.digest(key.as_bytes()));
        }
    }
    Ok(total)
}

/// Up to `limit` child segments of a path with the aggregates of their subtrees, in the order of the segments.
/// Costs about two look-ups for each child, however many keys lie below it. Segments beyond the limit are those found last.
pub async fn children(
    tree: &RwLock<Tree>,
    archive: &dyn ArchiveStore,
    path: &str,
    limit: usize,
) -> Result<BTreeMap<String, Aggregate>, ArchiveError> {
    let mut children = BTreeMap::new();
    let mut range = KeyRange::prefix(below(path).as_bytes());
    while children.len() < limit {
        let found = archive.scan_leaves(&range, 1).await?;
        let Some((key, _)) = found.first() else {
            break;
        };
        range = range.after(key.as_bytes());
        let Some(segment) = segment(path, key.as_str()) else {
            continue;
        };
        let child = format!("{}{segment}", below(path));
        if key.len() > child.len() {
            // A key below the child: the next one that may show another child lies behind all of them.
            match KeyRange::prefix(below(&child).as_bytes()).end {
                Some(end) => range.start = end,
                None => break,
            }
        }
        if !children.contains_key(segment) {
            children.insert(segment.to_owned(), aggregate(tree, archive, &child).await?);
        }
    }
    Ok(children)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_end_at_dots() {
        assert_eq!(segment("", "uk.nhs"), Some("uk"));
        assert_eq!(segment("uk", "uk.nhs.x"), Some("nhs"));
        assert_eq!(segment("uk", "uk.nhs"), Some("nhs"));
        assert_eq!(segment("uk", "uk"), None);
        assert_eq!(segment("uk", "ukraine.kiev"), None);
        assert_eq!(segment("uk", "uk..x"), Some(""));
        assert_eq!(below("uk"), "uk.");
        assert_eq!(below(""), "");
    }
}
