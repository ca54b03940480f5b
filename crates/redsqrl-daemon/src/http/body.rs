//! Reading bodies: bounded in size, in time, and all of them together in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::time::{Instant, timeout};

use super::error::Refusal;
use crate::budget::{Budget, Held};
use crate::limits::CLIENT_BYTES;
use crate::pace::Pace;

/// How long a client may send nothing.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// How long a body may take altogether.
const BODY_TIME_MAX: Duration = Duration::from_secs(600);

/// How much of a refused body is read all the same, so that the client, who may still be sending, gets to the answer.
const DRAIN_BYTES_MAX: usize = 64 << 20;

/// … and for how long.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(5);

/// Reads bodies, within the room for requests.
pub(super) struct Bodies {
    max: AtomicUsize,
    budget: Arc<Budget>,
}

/// A body, and the room it takes until this is dropped.
pub(super) struct Read {
    pub(super) content: Bytes,
    _room: Option<Held>,
}

impl Bodies {
    pub(super) fn new(max: usize, budget: Arc<Budget>) -> Self {
        Self {
            max: AtomicUsize::new(max),
            budget,
        }
    }

    pub(super) fn set_max(&self, bytes: usize) {
        self.max.store(bytes, Ordering::Relaxed);
    }

    /// The whole body.
    pub(super) async fn read(&self, headers: &HeaderMap, body: Body) -> Result<Read, Refusal> {
        let max = self.max.load(Ordering::Relaxed);
        let announced = headers.get(header::CONTENT_LENGTH);
        let announced = announced.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|length| length > max as u64) {
            // A client that asks first has sent nothing yet, and will not.
            if !headers.contains_key(header::EXPECT) {
                drain(body).await;
            }
            return Err(Refusal::too_large(max));
        }
        let announced = announced.map_or(0, |length| usize::try_from(length).unwrap_or(max));
        self.collect(body, announced, max).await
    }

    async fn collect(&self, body: Body, announced: usize, max: usize) -> Result<Read, Refusal> {
        let deadline = Instant::now() + BODY_TIME_MAX;
        let mut frames = body.into_data_stream();
        let (mut content, mut room) = (Parts::Empty, None::<Held>);
        let mut pace = Pace::new(SILENCE_MAX);
        loop {
            let since = Instant::now();
            let frame = timeout(SILENCE_MAX.min(deadline - since), frames.next());
            let frame = frame
                .await
                .map_err(|_| Refusal::invalid("the body did not come in time"))?;
            let Some(frame) = frame else { break };
            let frame =
                frame.map_err(|error| Refusal::invalid(format!("the body broke off: {error}")))?;
            if content.len() + frame.len() > max {
                drain(Body::from_stream(frames)).await;
                return Err(Refusal::too_large(max));
            }
            let needed = content.len() + frame.len();
            let held = room.as_ref().map_or(0, Held::bytes);
            if held > CLIENT_BYTES && !pace.keeps_up(since.elapsed(), frame.len(), held) {
                return Err(Refusal::invalid("the body comes too slowly"));
            }
            if needed > held {
                let more = self.budget.requests.take(needed - held).await?;
                match &mut room {
                    Some(room) => room.add(more),
                    None => room = Some(more),
                }
            }
            content = content.and(frame, announced);
        }
        Ok(Read {
            content: content.whole(),
            _room: room,
        })
    }
}

/// What has come of a body. One that comes in one piece is not copied.
enum Parts {
    Empty,
    One(Bytes),
    Many(BytesMut),
}

impl Parts {
    fn len(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::One(bytes) => bytes.len(),
            Self::Many(bytes) => bytes.len(),
        }
    }

    /// One frame more. Room for all that was announced is made at once: growing bit by bit, it would be copied again and
    /// again, and take twice the bytes.
    fn and(self, frame: Bytes, announced: usize) -> Self {
        let mut all = match self {
            Self::Empty => return Self::One(frame),
            Self::One(first) => {
                let mut all = BytesMut::with_capacity(announced.max(first.len() + frame.len()));
                all.extend_from_slice(&first);
                all
            }
            Self::Many(all) => all,
        };
        all.extend_from_slice(&frame);
        Self::Many(all)
    }

    fn whole(self) -> Bytes {
        match self {
            Self::Empty => Bytes::new(),
            // The piece may be a slice of a larger buffer, which it would keep alive as long as the item lives.
            Self::One(bytes) => Bytes::copy_from_slice(&bytes),
            Self::Many(bytes) => bytes.freeze(),
        }
    }
}

async fn drain(body: Body) {
    let drained = async {
        let mut frames = body.into_data_stream();
        let mut bytes = 0;
        while let Some(Ok(frame)) = frames.next().await {
            bytes += frame.len();
            if bytes > DRAIN_BYTES_MAX {
                return;
            }
        }
    };
    // Whether it was read to its end changes nothing.
    timeout(DRAIN_TIME_MAX, drained).await.ok();
}
