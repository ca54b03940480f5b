//! Reading `meta`, member by member.

use std::cell::Cell;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::Meta;
use crate::cdc::event::EventError;

/// Reads the object; a member of the wrong kind is an error that names it.
pub(in super::super) fn read(json: &[u8]) -> Result<Meta<String>, EventError> {
    let field = Cell::new("meta");
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let meta = Reader { field: &field }.deserialize(&mut deserializer);
    meta.and_then(|meta| deserializer.end().map(|()| meta))
        .map_err(|_| EventError::Malformed { field: field.get() })
}

/// The members' names.
#[derive(Clone, Copy, Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Member {
    ContentType,
    Version,
    UpdatedAt,
    Stamp,
    Origin,
    Encoding,
    Epoch,
    Seq,
    State,
    ExpiresAt,
    TraceParent,
    TraceState,
    RedisTtl,
    Redis,
    Sql,
    BatchId,
    HomeInstanceId,
    #[serde(other)]
    Unknown,
}

/// Reads the members one by one, and keeps in `field` which one it is at: serde's own errors do not say.
struct Reader<'c> {
    field: &'c Cell<&'static str>,
}

impl Reader<'_> {
    fn member<'de, A: MapAccess<'de>, V: Deserialize<'de>>(
        &self,
        map: &mut A,
        field: &'static str,
    ) -> Result<Option<V>, A::Error> {
        self.field.set(field);
        let value = map.next_value()?;
        self.field.set("meta");
        Ok(value)
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Meta<String>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Meta<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut meta = Meta::default();
        let m = &mut map;
        while let Some(member) = m.next_key()? {
            match member {
                Member::ContentType => meta.content_type = self.member(m, "meta.content_type")?,
                Member::Version => meta.version = self.member(m, "meta.version")?,
                Member::UpdatedAt => meta.updated_at = self.member(m, "meta.updated_at")?,
                Member::Stamp => meta.stamp = self.member(m, "meta.stamp")?,
                Member::Origin => meta.origin = self.member(m, "meta.origin")?,
                Member::Encoding => meta.encoding = self.member(m, "meta.encoding")?,
                Member::Epoch => meta.epoch = self.member(m, "meta.epoch")?,
                Member::Seq => meta.seq = self.member(m, "meta.seq")?,
                Member::State => meta.state = self.member(m, "meta.state")?,
                Member::ExpiresAt => meta.expires_at = self.member(m, "meta.expires_at")?,
                Member::TraceParent => meta.trace_parent = self.member(m, "meta.trace_parent")?,
                Member::TraceState => meta.trace_state = self.member(m, "meta.trace_state")?,
                Member::RedisTtl => meta.redis_ttl = self.member(m, "meta.redis_ttl")?,
                Member::Redis => meta.redis = self.member(m, "meta.redis")?,
                Member::Sql => meta.sql = self.member(m, "meta.sql")?,
                Member::BatchId => meta.batch_id = self.member(m, "meta.batch_id")?,
                Member::HomeInstanceId => {
                    meta.home_instance_id = self.member(m, "meta.home_instance_id")?;
                }
                Member::Unknown => {
                    m.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(meta)
    }
}
