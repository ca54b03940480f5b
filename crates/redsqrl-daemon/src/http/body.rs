//! Reading bodies: bounded in size, in time, and all of them together in memory.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};

use super::error::Refusal;

/// Bytes of all bodies that are being read or stored, at most. At least two of the longest ones fit.
const TOTAL_BYTES: usize = 256 << 20;

/// The unit in which the total is counted.
const GRAIN: usize = 1 << 10;

/// How long a client may send nothing.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// How long a body may take altogether.
const BODY_TIME_MAX: Duration = Duration::from_secs(600);

/// How long a body waits for room among the others.
const ROOM_PATIENCE: Duration = Duration::from_secs(5);

/// How much of a refused body is read all the same, so that the client, who may still be sending, gets to the answer.
const DRAIN_BYTES_MAX: usize = 64 << 20;

/// … and for how long.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(5);

/// Room for bodies.
pub(super) struct BodyBudget {
    max: AtomicUsize,
    room: Semaphore,
}

/// A body, and the room it takes until this is dropped.
pub(super) struct Read<'a> {
    pub(super) content: Bytes,
    _room: Option<SemaphorePermit<'a>>,
}

impl BodyBudget {
    pub(super) fn new(max: usize) -> Self {
        Self {
            max: AtomicUsize::new(max),
            room: Semaphore::new(TOTAL_BYTES.max(max.saturating_mul(2)).div_ceil(GRAIN)),
        }
    }

    pub(super) fn set_max(&self, bytes: usize) {
        // The room was made for the first limit; a longer body than all of it could never be read.
        self.max.store(bytes, Ordering::Relaxed);
    }

    /// The whole body.
    pub(super) async fn read(&self, headers: &HeaderMap, body: Body) -> Result<Read<'_>, Refusal> {
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
        self.collect(body, max).await
    }

    async fn collect(&self, body: Body, max: usize) -> Result<Read<'_>, Refusal> {
        let deadline = Instant::now() + BODY_TIME_MAX;
        let mut frames = body.into_data_stream();
        let (mut content, mut room) = (Parts::Empty, None::<SemaphorePermit<'_>>);
        loop {
            let frame = timeout(SILENCE_MAX.min(deadline - Instant::now()), frames.next());
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
            let more = self.take(frame.len()).await?;
            match &mut room {
                Some(room) => room.merge(more),
                None => room = Some(more),
            }
            content = content.and(frame);
        }
        Ok(Read {
            content: content.whole(),
            _room: room,
        })
    }

    async fn take(&self, bytes: usize) -> Result<SemaphorePermit<'_>, Refusal> {
        let grains = u32::try_from(bytes.div_ceil(GRAIN)).unwrap_or(u32::MAX);
        match timeout(ROOM_PATIENCE, self.room.acquire_many(grains)).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(Refusal::busy(
                "too many bytes are being sent at once; slow down and retry",
            )),
        }
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

    fn and(self, frame: Bytes) -> Self {
        let mut all = match self {
            Self::Empty => return Self::One(frame),
            Self::One(first) => BytesMut::from(&first[..]),
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
