//! The `meta` field: one compact JSON object.

mod read;

use serde::{Deserialize, Deserializer, Serialize};

use super::check_size;
use crate::cdc::event::{Epoch, EventError};
use crate::item::options::{CacheTtl, SubmitOptions};
use crate::item::stamp::{HlcTime, Origin, Stamp};
use crate::item::{ContentType, SyncItem};
use crate::limits::{FIELD_BYTES_MAX, STATE_BYTES_MAX};

pub(super) use read::read;

/// The tag of an item that has none: not written.
const STATE_DEFAULT: &str = "default";

/// How `data` holds the payload. Said, never guessed: a payload may itself be a zstd frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Encoding {
    /// As it is.
    Raw,
    /// As one zstd frame.
    Zstd,
}

/// 64 bits that are a name, not a count, as 16 hex digits. (Counts are JSON numbers, the stamp's time among them, which is
/// beyond 2^53: readers must take it for a 64-bit integer, not for a float.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hex(u64);

impl Serialize for Hex {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:016x}", self.0))
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let is_hex = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        match u64::from_str_radix(&text, 16) {
            Ok(number) if is_hex => Ok(Self(number)),
            _ => Err(serde::de::Error::custom("expected 16 hex digits")),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum TypeName {
    Json,
    Binary,
}

/// The members, borrowed or owned. What is `None` is not written.
#[derive(Debug, Default, Serialize)]
pub(super) struct Meta<T> {
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<TypeName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stamp: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<Hex>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<Encoding>,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<Hex>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_parent: Option<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_state: Option<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redis_ttl: Option<u64>,
    /// `false`: the item is not for the Redis tier.
    #[serde(skip_serializing_if = "Option::is_none")]
    redis: Option<bool>,
    /// `false`: the item is not for the archive. Such items are not published by an engine.
    #[serde(skip_serializing_if = "Option::is_none")]
    sql: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch_id: Option<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    home_instance_id: Option<T>,
}

impl<'i> Meta<&'i str> {
    pub(super) fn of_item(item: &'i SyncItem, encoding: Encoding, epoch: Epoch, seq: u64) -> Self {
        let options = &item.submit_options;
        Self {
            content_type: Some(match item.content_type {
                ContentType::Json => TypeName::Json,
                ContentType::Binary => TypeName::Binary,
            }),
            version: Some(item.version),
            updated_at: Some(item.updated_at),
            encoding: Some(encoding),
            state: Some(&*item.state).filter(|state| *state != STATE_DEFAULT),
            expires_at: item.expires_at,
            trace_parent: item.trace_parent.as_deref(),
            trace_state: item.trace_state.as_deref(),
            redis_ttl: options.redis_ttl.map(CacheTtl::secs),
            redis: (!options.redis).then_some(false),
            sql: (!options.sql).then_some(false),
            batch_id: item.batch_id.as_deref(),
            home_instance_id: item.home_instance_id.as_deref(),
            ..Self::of_place(item.stamp, epoch, seq)
        }
    }

    pub(super) fn of_tombstone(stamp: Stamp, epoch: Epoch, seq: u64) -> Self {
        Self {
            // For readers that know only the fields of an item: when it was deleted.
            updated_at: Some(stamp.time.ms()),
            ..Self::of_place(stamp, epoch, seq)
        }
    }

    fn of_place(stamp: Stamp, epoch: Epoch, seq: u64) -> Self {
        Self {
            stamp: Some(stamp.time.0),
            origin: Some(Hex(stamp.origin.raw())),
            epoch: Some(Hex(epoch.0)),
            seq: Some(seq),
            ..Self::default()
        }
    }

    pub(super) fn to_json(&self) -> Vec<u8> {
        // Strings and whole numbers always have a JSON text, and a Vec takes all of it.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl Meta<String> {
    pub(super) fn stamp(&self) -> Result<Stamp, EventError> {
        Ok(Stamp {
            time: HlcTime(required(self.stamp, "meta.stamp")?),
            origin: Origin::from_raw(required(self.origin, "meta.origin")?.0),
        })
    }

    pub(super) fn place(&self) -> Result<(Epoch, u64), EventError> {
        let epoch = required(self.epoch, "meta.epoch")?;
        Ok((Epoch(epoch.0), required(self.seq, "meta.seq")?))
    }

    pub(super) fn encoding(&self) -> Result<Encoding, EventError> {
        required(self.encoding, "meta.encoding")
    }

    pub(super) fn content_type(&self) -> Result<ContentType, EventError> {
        Ok(match required(self.content_type, "meta.content_type")? {
            TypeName::Json => ContentType::Json,
            TypeName::Binary => ContentType::Binary,
        })
    }

    /// The item with everything that `meta` says of it.
    pub(super) fn complete(self, item: SyncItem, stamp: Stamp) -> Result<SyncItem, EventError> {
        let version = required(self.version, "meta.version")?;
        let updated_at = required(self.updated_at, "meta.updated_at")?;
        let state = within(self.state, "meta.state", STATE_BYTES_MAX)?;
        let batch_id = within(self.batch_id, "meta.batch_id", FIELD_BYTES_MAX)?;
        let trace_parent = within(self.trace_parent, "meta.trace_parent", FIELD_BYTES_MAX)?;
        let trace_state = within(self.trace_state, "meta.trace_state", FIELD_BYTES_MAX)?;
        let home = within(
            self.home_instance_id,
            "meta.home_instance_id",
            FIELD_BYTES_MAX,
        )?;
        let submit_options = SubmitOptions {
            redis: self.redis.unwrap_or(true),
            redis_ttl: self.redis_ttl.map(CacheTtl::custom_secs),
            sql: self.sql.unwrap_or(true),
            state: None,
        };
        Ok(item.edit(|fields| {
            fields.stamp = stamp;
            fields.version = version;
            fields.updated_at = updated_at;
            fields.expires_at = self.expires_at;
            fields.submit_options = submit_options;
            fields.batch_id = batch_id;
            fields.trace_parent = trace_parent;
            fields.trace_state = trace_state;
            fields.home_instance_id = home;
            if let Some(state) = state {
                fields.state = (*state).into();
            }
        }))
    }
}

fn required<T>(member: Option<T>, field: &'static str) -> Result<T, EventError> {
    member.ok_or(EventError::Missing { field })
}

fn within(
    text: Option<String>,
    field: &'static str,
    limit: usize,
) -> Result<Option<Box<str>>, EventError> {
    if let Some(text) = &text {
        check_size(field, text.len(), limit)?;
    }
    Ok(text.map(String::into_boxed_str))
}
