//! Many items: `/v1/items`.

use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use sync_engine::SyncItem;

use super::error::Refusal;
use super::{Face, Shared};
use crate::budget::Held;
use crate::ndjson::Content;

/// The id behind which the next page begins, percent-encoded; only when there may be one.
const NEXT: HeaderName = HeaderName::from_static("x-redsqrl-next");

/// Items of a page unless told otherwise, and at most.
const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 1000;

/// A page ends, with at least one item, when it has this many bytes.
const PAGE_BYTES_MAX: usize = 8 << 20;

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Question {
    prefix: String,
    after: Option<String>,
    limit: usize,
    content: bool,
    format: Option<Format>,
}

impl Default for Question {
    fn default() -> Self {
        Self {
            prefix: String::new(),
            after: None,
            limit: LIMIT_DEFAULT,
            content: false,
            format: None,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    Json,
    Ndjson,
}

#[derive(Serialize)]
struct Line<'a> {
    id: &'a str,
    stamp: String,
    version: u64,
    state: &'a str,
    content_type: &'static str,
    size: usize,
    hash: String,
    updated_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
    #[serde(flatten)]
    content: Option<Content<'a>>,
}

impl<'a> Line<'a> {
    fn of(item: &'a SyncItem, with_content: bool) -> Self {
        Self {
            id: &item.object_id,
            stamp: item.stamp.to_string(),
            version: item.version,
            state: &item.state,
            content_type: item.content_type.as_str(),
            size: item.content.len(),
            hash: item.content_hash.to_string(),
            updated_at: item.updated_at,
            expires_at: item.expires_at,
            content: with_content.then(|| Content::of(&item.content)),
        }
    }
}

/// GET: a page of items in the order of their ids.
pub(super) async fn list(
    State(face): Shared,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let question = Query::<Question>::try_from_uri(&uri)
        .map_err(|wrong| Refusal::invalid(wrong.body_text()))?
        .0;
    if !(1..=LIMIT_MAX).contains(&question.limit) {
        return Err(Refusal::invalid(format!(
            "limit is {}: expected 1 to {LIMIT_MAX}",
            question.limit
        )));
    }
    let mut room = face
        .budget
        .replies
        .take(most_bytes(&face, &question))
        .await?;
    let mut page = Page::new(question.format.unwrap_or_else(|| wanted(&headers)));
    let mut after = question.after.clone();
    while page.items < question.limit && page.body.len() < PAGE_BYTES_MAX {
        let left = question.limit - page.items;
        let asked = face.reader.page(&question.prefix, after.as_deref(), left);
        let (found, _room) = asked.await?;
        let mut items = found.items.iter();
        for item in items.by_ref() {
            page.push(&Line::of(item, question.content))?;
            after = Some(item.object_id.as_str().into());
            if page.body.len() >= PAGE_BYTES_MAX {
                break;
            }
        }
        if items.len() == 0 && found.next.is_none() {
            after = None;
            break;
        }
    }
    room.shrink_to(page.body.capacity());
    Ok(page.response(after.as_deref(), room))
}

/// What a page takes at the most while it is made: its body, which is copied when it grows. An item in base64 is a third
/// longer.
fn most_bytes(face: &Face, question: &Question) -> usize {
    let item = match question.content {
        true => face.reader.item_bytes_max(),
        false => 0,
    };
    (2 * PAGE_BYTES_MAX).saturating_add(item.saturating_mul(3))
}

fn wanted(headers: &HeaderMap) -> Format {
    let accepted = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok());
    match accepted.is_some_and(|accept| accept.contains("ndjson")) {
        true => Format::Ndjson,
        false => Format::Json,
    }
}

struct Page {
    format: Format,
    body: Vec<u8>,
    items: usize,
}

impl Page {
    fn new(format: Format) -> Self {
        Self {
            format,
            body: Vec::new(),
            items: 0,
        }
    }

    fn push(&mut self, line: &Line<'_>) -> Result<(), Refusal> {
        match self.format {
            Format::Ndjson => {}
            Format::Json if self.items == 0 => self.body.extend_from_slice(b"[\n"),
            Format::Json => self.body.extend_from_slice(b",\n"),
        }
        serde_json::to_writer(&mut self.body, line).map_err(Refusal::invalid)?;
        if self.format == Format::Ndjson {
            self.body.push(b'\n');
        }
        self.items += 1;
        Ok(())
    }

    /// The page, which takes this room until it is sent; `next`: behind which id the next one begins.
    fn response(mut self, next: Option<&str>, room: Held) -> Response {
        let kind = match self.format {
            Format::Ndjson => "application/x-ndjson",
            Format::Json => {
                self.body
                    .extend_from_slice(if self.items == 0 { b"[]\n" } else { b"\n]\n" });
                "application/json"
            }
        };
        let mut response = room.keep(self.body.into()).into_response();
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        let next = next.map(|id| utf8_percent_encode(id, NON_ALPHANUMERIC).to_string());
        if let Some(next) = next.and_then(|id| HeaderValue::from_str(&id).ok()) {
            response.headers_mut().insert(NEXT, next);
        }
        response
    }
}
