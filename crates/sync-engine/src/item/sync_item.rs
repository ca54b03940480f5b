//! The live item.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use bytes::Bytes;
use serde::Serialize;

use super::hash::ContentHash;
use super::key::Key;
use super::options::SubmitOptions;
use super::stamp::Stamp;

/// What the content looks like. Detected, never acted upon: the bytes are stored as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ContentType {
    /// The content is one JSON text.
    Json,
    /// Anything else.
    Binary,
}

impl ContentType {
    /// `Json` exactly when the bytes are one valid JSON text.
    pub fn detect(content: &[u8]) -> Self {
        match serde_json::from_slice::<serde::de::IgnoredAny>(content) {
            Ok(_) => Self::Json,
            Err(_) => Self::Binary,
        }
    }

    /// `json` or `binary`, as on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Binary => "binary",
        }
    }
}

/// The default of [`ItemFields::state`].
pub const DEFAULT_STATE: &str = "default";

/// An item: bytes under a key, and what is known about them. Cloning copies no payload.
///
/// The fields are read through [`ItemFields`]; they change only through the `with_…` functions, so that the
/// content hash always belongs to the content.
#[derive(Clone)]
pub struct SyncItem(Arc<ItemFields>);

/// The fields of a [`SyncItem`].
pub struct ItemFields {
    /// The key, reverse-DNS style.
    pub object_id: Key,
    /// The payload: what goes in comes out, bit for bit.
    pub content: Bytes,
    /// SHA-256 of the content; hex when shown.
    pub content_hash: ContentHash,
    /// Detected from the content, or said by the caller.
    pub content_type: ContentType,
    /// The caller's number, stored and replicated untouched.
    pub version: u64,
    /// Epoch milliseconds of the write.
    pub updated_at: i64,
    /// The engine's order of writes; zero until the engine has accepted the item.
    pub stamp: Stamp,
    /// Epoch milliseconds past which the item is absent for every reader, on every node.
    pub expires_at: Option<i64>,
    /// The caller's tag, `default` unless set.
    pub state: Arc<str>,
    /// The caller's batch.
    pub batch_id: Option<Box<str>>,
    /// W3C Trace Context `traceparent`.
    pub trace_parent: Option<Box<str>>,
    /// W3C Trace Context `tracestate`.
    pub trace_state: Option<Box<str>>,
    /// The instance the item is at home on, a matter of the caller's.
    pub home_instance_id: Option<Box<str>>,
    /// Where the item is kept.
    pub submit_options: SubmitOptions,
    access_count: AtomicU32,
    last_accessed: AtomicU64,
}

impl Deref for SyncItem {
    type Target = ItemFields;
    fn deref(&self) -> &ItemFields {
        &self.0
    }
}

impl Clone for ItemFields {
    fn clone(&self) -> Self {
        Self {
            object_id: self.object_id.clone(),
            content: self.content.clone(),
            state: self.state.clone(),
            batch_id: self.batch_id.clone(),
            trace_parent: self.trace_parent.clone(),
            trace_state: self.trace_state.clone(),
            home_instance_id: self.home_instance_id.clone(),
            submit_options: self.submit_options.clone(),
            access_count: AtomicU32::new(self.access_count()),
            last_accessed: AtomicU64::new(self.last_accessed()),
            ..*self
        }
    }
}

impl ItemFields {
    /// How often the item was read since it came into memory here.
    pub fn access_count(&self) -> u32 {
        self.access_count.load(Ordering::Relaxed)
    }

    /// Epoch milliseconds of the last read here; 0: never.
    pub fn last_accessed(&self) -> u64 {
        self.last_accessed.load(Ordering::Relaxed)
    }

    /// Counts a read. Two plain stores: concurrent reads may be counted as one, which is good enough for statistics.
    pub(crate) fn touch(&self, now_ms: i64) {
        let count = self.access_count().saturating_add(1);
        self.access_count.store(count, Ordering::Relaxed);
        self.last_accessed
            .store(u64::try_from(now_ms).unwrap_or(0), Ordering::Relaxed);
    }

    /// Whether the item is past its `expires_at` at `now_ms`.
    pub fn is_expired(&self, now_ms: i64) -> bool {
        self.expires_at.is_some_and(|at| at <= now_ms)
    }

    /// The content parsed as JSON; `None` when it is not JSON.
    pub fn content_as_json(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(&self.content).ok()
    }

    /// Bytes of key and payload.
    pub fn size_bytes(&self) -> usize {
        self.object_id.len() + self.content.len()
    }
}

impl SyncItem {
    /// An item with these bytes; the content type is detected.
    pub fn new(object_id: impl Into<Key>, content: impl Into<Bytes>) -> Self {
        let content = content.into();
        let content_type = ContentType::detect(&content);
        Self::with_type(object_id.into(), content, content_type)
    }

    /// An item with these bytes, of a type already known.
    pub fn with_type(object_id: Key, content: Bytes, content_type: ContentType) -> Self {
        let content_hash = ContentHash::of(&content);
        Self::from_parts(object_id, content, content_hash, content_type)
    }

    /// An item from a tier or a peer, where the hash stands beside the content. Whoever calls has checked it, or
    /// leaves the check to `get_verified`.
    pub fn from_parts(
        object_id: Key,
        content: Bytes,
        content_hash: ContentHash,
        content_type: ContentType,
    ) -> Self {
        Self(Arc::new(ItemFields {
            object_id,
            content,
            content_hash,
            content_type,
            version: 1,
            updated_at: 0,
            stamp: Stamp::default(),
            expires_at: None,
            state: default_state(),
            batch_id: None,
            trace_parent: None,
            trace_state: None,
            home_instance_id: None,
            submit_options: SubmitOptions::default(),
            access_count: AtomicU32::new(0),
            last_accessed: AtomicU64::new(0),
        }))
    }

    /// An item whose content is this JSON value, in serde_json's compact form.
    pub fn from_json(object_id: Key, value: serde_json::Value) -> Self {
        // A `Value` always has a JSON text: its keys are strings and its numbers finite.
        Self::with_type(object_id, value.to_string().into(), ContentType::Json)
    }

    /// An item whose content is the JSON text of any serializable value.
    pub fn from_serializable<T: Serialize + ?Sized>(
        object_id: impl Into<Key>,
        value: &T,
    ) -> Result<Self, serde_json::Error> {
        let content = serde_json::to_vec(value)?;
        Ok(Self::with_type(
            object_id.into(),
            content.into(),
            ContentType::Json,
        ))
    }

    /// The item with some fields changed. The content and its hash cannot be: make a new item.
    pub(crate) fn edit(mut self, change: impl FnOnce(&mut ItemFields)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    /// With the caller's tag.
    pub fn with_state(self, state: impl Into<Arc<str>>) -> Self {
        let state = state.into();
        self.edit(|fields| fields.state = state)
    }

    /// With these tiers.
    pub fn with_options(self, options: SubmitOptions) -> Self {
        self.edit(|fields| {
            if let Some(state) = &options.state {
                fields.state = state.as_str().into();
            }
            fields.submit_options = options;
        })
    }

    /// With the caller's version number.
    pub fn with_version(self, version: u64) -> Self {
        self.edit(|fields| fields.version = version)
    }

    /// With a content type said by the caller instead of the detected one.
    pub fn with_content_type(self, content_type: ContentType) -> Self {
        self.edit(|fields| fields.content_type = content_type)
    }

    /// With an end: past this epoch millisecond the item is absent everywhere.
    pub fn with_expires_at(self, expires_at: Option<i64>) -> Self {
        self.edit(|fields| fields.expires_at = expires_at)
    }

    /// With the caller's batch.
    pub fn with_batch_id(self, batch_id: impl Into<Box<str>>) -> Self {
        let batch_id = batch_id.into();
        self.edit(|fields| fields.batch_id = Some(batch_id))
    }

    /// With the instance the item is at home on.
    pub fn with_home_instance_id(self, id: impl Into<Box<str>>) -> Self {
        let id = id.into();
        self.edit(|fields| fields.home_instance_id = Some(id))
    }

    /// With a W3C trace context.
    pub fn with_trace_context(
        self,
        trace_parent: impl Into<Box<str>>,
        trace_state: Option<Box<str>>,
    ) -> Self {
        let trace_parent = trace_parent.into();
        self.edit(|fields| {
            fields.trace_parent = Some(trace_parent);
            fields.trace_state = trace_state;
        })
    }
}

fn default_state() -> Arc<str> {
    // One allocation for all items that have no tag of their own.
    static DEFAULT: std::sync::LazyLock<Arc<str>> =
        std::sync::LazyLock::new(|| DEFAULT_STATE.into());
    DEFAULT.clone()
}

impl PartialEq for SyncItem {
    /// Equal in everything that is stored; access statistics do not count.
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (&*self.0, &*other.0);
        a.object_id == b.object_id
            && a.stamp == b.stamp
            && a.content_hash == b.content_hash
            && a.content == b.content
            && a.content_type == b.content_type
            && a.version == b.version
            && a.updated_at == b.updated_at
            && a.expires_at == b.expires_at
            && a.state == b.state
            && a.batch_id == b.batch_id
            && a.trace_parent == b.trace_parent
            && a.trace_state == b.trace_state
            && a.home_instance_id == b.home_instance_id
            && a.submit_options.key() == b.submit_options.key()
    }
}

impl fmt::Debug for SyncItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The payload is the caller's, and may be secret or huge: its length says enough.
        f.debug_struct("SyncItem")
            .field("object_id", &self.object_id)
            .field("content_bytes", &self.content.len())
            .field("content_hash", &self.content_hash)
            .field("content_type", &self.content_type)
            .field("version", &self.version)
            .field("updated_at", &self.updated_at)
            .field("stamp", &self.stamp)
            .field("expires_at", &self.expires_at)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn json_is_detected_and_never_changed() {
        let odd = b"{ \"b\" : 1,\n  \"a\":2 }".to_vec();
        let item = SyncItem::new("a.b", odd.clone());
        assert_eq!(item.content_type, ContentType::Json);
        assert_eq!(&item.content[..], &odd[..]);
        assert_eq!(
            SyncItem::new("a", vec![0xff]).content_type,
            ContentType::Binary
        );
        assert_eq!(SyncItem::new("a", vec![]).content_type, ContentType::Binary);
        let item = SyncItem::from_json("a".into(), json!({"z": 1, "a": 2}));
        assert_eq!(&item.content[..], br#"{"z":1,"a":2}"#);
        assert_eq!(item.content_as_json(), Some(json!({"z": 1, "a": 2})));
    }

    #[test]
    fn a_clone_shares_the_payload_and_edits_do_not_leak() {
        let item = SyncItem::new("a", vec![7; 100]);
        let other = item.clone().with_state("busy");
        assert_eq!(&*item.state, "default");
        assert_eq!(&*other.state, "busy");
        assert_eq!(item.content.as_ptr(), other.content.as_ptr());
    }

    #[test]
    fn debug_shows_no_payload() {
        let shown = format!("{:?}", SyncItem::new("a", b"secret".to_vec()));
        assert!(!shown.contains("secret"), "{shown}");
    }
}
