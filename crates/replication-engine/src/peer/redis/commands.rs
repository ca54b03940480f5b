//! Sending commands, and reading streams.

use std::time::Duration;

use redis::{Cmd, Pipeline, Value, cmd};
use sync_engine::cdc::stream_id::StreamId;
use sync_engine::link::{LinkError, RedisLink};

use super::reply;
use crate::peer::remote::{Entry, RemoteError};

/// Longest that one read blocks on the server; a silent network shows [`crate::limits::PEER_PATIENCE`] later.
pub(crate) const BLOCK_MAX: Duration = Duration::from_secs(5);

fn failed(op: &'static str) -> impl Fn(LinkError) -> RemoteError {
    move |error| match error.too_large() {
        Some(too_large) => RemoteError::TooLarge {
            op,
            limit: too_large.limit(),
            first: reply::first_id(too_large.head()),
        },
        None => RemoteError::Unavailable {
            op,
            source: Box::new(error),
        },
    }
}

/// Sends commands, and gives their replies; an error reply is an error.
pub(crate) async fn send(
    link: &RedisLink,
    op: &'static str,
    cmds: impl IntoIterator<Item = Cmd>,
) -> Result<Vec<Value>, RemoteError> {
    let mut pipeline = Pipeline::new();
    for cmd in cmds {
        pipeline.add_command(cmd);
    }
    link.send_all(&pipeline).await.map_err(failed(op))
}

pub(crate) fn xread(key: &str, after: StreamId, count: usize, block: Duration) -> Cmd {
    let mut read = cmd("XREAD");
    read.arg("COUNT").arg(count);
    if block > Duration::ZERO {
        // `BLOCK 0` would be for ever.
        let ms = u64::try_from(block.min(BLOCK_MAX).as_millis()).unwrap_or(1);
        read.arg("BLOCK").arg(ms.max(1));
    }
    read.arg("STREAMS").arg(key).arg(after.to_string());
    read
}

/// The entries of one stream out of the reply to one XREAD.
pub(crate) async fn read_stream(
    link: &RedisLink,
    op: &'static str,
    read: Cmd,
) -> Result<Vec<Entry>, RemoteError> {
    let replies = send(link, op, [read]).await?;
    let entries = replies.into_iter().next().and_then(reply::xread);
    entries.ok_or(RemoteError::Nonsense {
        op,
        what: "the reply is not that of XREAD",
    })
}

/// The newest entry of a stream; of one that is too large to be read the id alone.
pub(crate) async fn newest(
    link: &RedisLink,
    op: &'static str,
    key: &str,
) -> Result<Option<Entry>, RemoteError> {
    let mut last = cmd("XREVRANGE");
    last.arg(key).arg("+").arg("-").arg("COUNT").arg(1);
    let reply = match send(link, op, [last]).await {
        Err(RemoteError::TooLarge {
            first: Some(id), ..
        }) => {
            let fields = Vec::new();
            return Ok(Some(Entry { id, fields }));
        }
        replies => replies?.pop(),
    };
    let entries = reply.and_then(|reply| reply::entries(reply, 1));
    let what = "the reply is not a list of entries";
    let entries = entries.ok_or(RemoteError::Nonsense { op, what })?;
    Ok(entries.into_iter().next())
}
