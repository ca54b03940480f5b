//! From what went wrong to a status: once, here.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sync_engine::{BackpressureLevel, ErrorKind, InvalidItem, StorageError};

use crate::budget::NoRoom;
use crate::reader::ReadError;

/// An answer that says no, and why: `{"error": "…", "kind": "…"}`.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    kind: &'static str,
    error: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, kind: &'static str, error: String) -> Self {
        Self {
            status,
            kind,
            error,
        }
    }

    /// The request is wrong: a retry fails again.
    pub(super) fn invalid(error: impl ToString) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", error.to_string())
    }

    /// No item has this key.
    pub(super) fn absent() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "absent",
            "there is no item with this id".into(),
        )
    }

    /// The body is longer than it may be.
    pub(super) fn too_large(limit: usize) -> Self {
        let error = format!("the body is longer than the limit of {limit} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "invalid", error)
    }
}

/// Too much is going on at once.
impl From<NoRoom> for Refusal {
    fn from(error: NoRoom) -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self::new(status, "overloaded", error.to_string())
    }
}

impl From<ReadError> for Refusal {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Storage(error) => error.into(),
            ReadError::NoRoom(error) => error.into(),
        }
    }
}

impl From<StorageError> for Refusal {
    fn from(error: StorageError) -> Self {
        let (status, kind) = match error.kind() {
            ErrorKind::Invalid if is_too_large(&error) => {
                (StatusCode::PAYLOAD_TOO_LARGE, "invalid")
            }
            ErrorKind::Invalid => (StatusCode::BAD_REQUEST, "invalid"),
            ErrorKind::Overloaded if is_throttle(&error) => {
                (StatusCode::TOO_MANY_REQUESTS, "overloaded")
            }
            ErrorKind::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "overloaded"),
            ErrorKind::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            ErrorKind::Corrupt => (StatusCode::INTERNAL_SERVER_ERROR, "corrupt"),
            ErrorKind::Closed => (StatusCode::SERVICE_UNAVAILABLE, "closed"),
        };
        Self::new(status, kind, error.to_string())
    }
}

fn is_too_large(error: &StorageError) -> bool {
    matches!(
        error,
        StorageError::InvalidItem {
            reason: InvalidItem::PayloadTooLarge { .. },
            ..
        }
    )
}

fn is_throttle(error: &StorageError) -> bool {
    matches!(error, StorageError::Overloaded { level, .. } if *level <= BackpressureLevel::Throttle)
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let retry = matches!(self.kind, "overloaded" | "unavailable" | "closed");
        let body = Json(serde_json::json!({"error": self.error, "kind": self.kind}));
        let mut response = (self.status, body).into_response();
        if retry {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sync_engine::Tier;

    #[test]
    fn each_kind_has_its_status() {
        let status = |error: StorageError| Refusal::from(error).status.as_u16();
        let overloaded = |level| StorageError::Overloaded {
            level,
            what: "full",
        };
        assert_eq!(status(overloaded(BackpressureLevel::Throttle)), 429);
        assert_eq!(status(overloaded(BackpressureLevel::Critical)), 503);
        assert_eq!(
            status(StorageError::unavailable(Tier::Archive, "get", "down")),
            503
        );
        assert_eq!(
            status(StorageError::damaged(Tier::Wal, "wal.db", "torn")),
            500
        );
        assert_eq!(status(sync_engine::InvalidKey::Empty.into()), 400);
        let reason = InvalidItem::PayloadTooLarge { bytes: 2, limit: 1 };
        assert_eq!(
            status(StorageError::InvalidItem {
                id: "a".into(),
                reason
            }),
            413
        );
        let closed = StorageError::Closed {
            state: sync_engine::EngineState::Stopped,
            op: "get",
        };
        let busy = Refusal::from(closed).into_response();
        assert_eq!(busy.headers()[header::RETRY_AFTER], "1");
    }
}
