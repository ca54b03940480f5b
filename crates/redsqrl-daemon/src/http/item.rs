//! One item: `/v1/items/{id}`.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use sync_engine::{Ack, ContentType, Stamp, SyncItem};

use super::error::Refusal;
use super::{Shared, name};

/// The engine's order of writes.
const STAMP: HeaderName = HeaderName::from_static("x-redsqrl-stamp");

/// The caller's number.
const VERSION: HeaderName = HeaderName::from_static("x-redsqrl-version");

/// Longest `ttl`, in seconds: 1000 years.
const TTL_SECS_MAX: u64 = 1000 * 365 * 24 * 60 * 60;

/// GET and HEAD.
pub(super) async fn read(
    State(face): Shared,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let id = name::of(&uri).map_err(Refusal::invalid)?;
    let found = face.reader.portion(&[id.as_bytes()]).await?;
    let item = found.first().ok_or_else(Refusal::absent)?.clone();
    let tag = format!("\"{}\"", item.content_hash);
    let asked = headers
        .get(header::IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok());
    if asked.is_some_and(|asked| asked.split(',').any(|one| one.trim() == tag)) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    let kind = match item.content_type {
        ContentType::Json => "application/json",
        ContentType::Binary => "application/octet-stream",
    };
    let content = match found.room {
        Some(room) => room.keep(item.content.clone()),
        None => item.content.clone(),
    };
    let mut response = Body::from(content).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    // Content is the caller's: no browser shall take it for a page.
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(VERSION, HeaderValue::from(item.version));
    put_text(headers, header::ETAG, &tag);
    put_text(headers, STAMP, &item.stamp.to_string());
    Ok(response)
}

fn put_text(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(name, value);
    }
}

/// What may stand behind the `?` of a PUT.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wishes {
    ttl: Option<u64>,
    ack: Option<AckName>,
    state: Option<String>,
    version: Option<u64>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum AckName {
    Queued,
    Logged,
    Stored,
}

impl From<AckName> for Ack {
    fn from(name: AckName) -> Self {
        match name {
            AckName::Queued => Self::Queued,
            AckName::Logged => Self::Logged,
            AckName::Stored => Self::Stored,
        }
    }
}

/// PUT: the body is the content, bit for bit.
pub(super) async fn write(
    State(face): Shared,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let id = name::of(&uri).map_err(Refusal::invalid)?;
    if face.keys.contains(id.as_bytes()) {
        let own = "this id is a key of redsqrl's own (change stream, root, mail of peers): choose another";
        return Err(Refusal::invalid(own));
    }
    let Query(wishes) =
        Query::<Wishes>::try_from_uri(&uri).map_err(|wrong| Refusal::invalid(wrong.body_text()))?;
    let expires_at = wishes.ttl.map(expiry).transpose()?;
    let read = face.bodies.read(&headers, body).await?;
    let mut item = SyncItem::new(id.clone(), read.content.clone()).with_expires_at(expires_at);
    if said_binary(&headers) {
        item = item.with_content_type(ContentType::Binary);
    }
    if let Some(state) = wishes.state {
        item = item.with_state(state);
    }
    if let Some(version) = wishes.version {
        item = item.with_version(version);
    }
    let (hash, version) = (item.content_hash, item.version);
    let stamp: Stamp = match wishes.ack {
        Some(ack) => face.engine.submit_acked(item, ack.into()).await?,
        None => face.engine.submit(item).await?,
    };
    let body = serde_json::json!({
        "id": id.as_str(), "stamp": stamp.to_string(), "version": version, "hash": hash.to_string(), "size": read.content.len(),
    });
    let mut response = Json(body).into_response();
    put_text(response.headers_mut(), header::ETAG, &format!("\"{hash}\""));
    put_text(response.headers_mut(), STAMP, &stamp.to_string());
    Ok(response)
}

fn expiry(ttl: u64) -> Result<i64, Refusal> {
    if !(1..=TTL_SECS_MAX).contains(&ttl) {
        return Err(Refusal::invalid(format!(
            "ttl is {ttl}: expected 1 to {TTL_SECS_MAX} seconds"
        )));
    }
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let at = now.as_millis() + u128::from(ttl) * 1000;
    i64::try_from(at).map_err(Refusal::invalid)
}

/// Whether the caller says that the content is no JSON, whatever it looks like.
fn said_binary(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/octet-stream"))
}

/// DELETE: 204 with the delete's stamp, or 404 when there was nothing.
pub(super) async fn remove(State(face): Shared, uri: Uri) -> Result<Response, Refusal> {
    let id = name::of(&uri).map_err(Refusal::invalid)?;
    let (_, _room) = face.reader.room_for(&[&id]).await?;
    let stamp = face.engine.delete_stamped(&id).await?;
    let stamp = stamp.ok_or_else(Refusal::absent)?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    put_text(response.headers_mut(), STAMP, &stamp.to_string());
    Ok(response)
}
