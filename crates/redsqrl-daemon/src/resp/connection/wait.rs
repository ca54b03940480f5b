//! XREAD BLOCK.

use std::future::{Future, pending};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::{Connection, Next};
use crate::resp::command::{Block, XRead};
use crate::resp::shared::RespShared;
use crate::resp::streams::Read;

/// When a wait is over.
type Deadline = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How a wait for news ends.
enum News {
    /// There are some.
    There,
    /// The time was over before.
    None,
    /// The server stops.
    Stop,
    /// The client has gone.
    Gone,
}

impl Connection {
    /// XREAD BLOCK: waits for entries, the time, the client's end or ours.
    pub(super) async fn block(&mut self, wait: XRead) -> io::Result<Next> {
        if self.input.takes_room() {
            let why = "ERR this request is too long to wait: name fewer streams, or send fewer commands with it";
            self.session.reply(&mut self.output).error(why);
            return Ok(Next::Round);
        }
        self.output.flush().await?;
        let shared = self.shared.clone();
        let mut deadline: Deadline = match wait.block {
            Some(Block::Millis(ms)) => shared.env().sleep(Duration::from_millis(ms)),
            Some(Block::Forever) | None => Box::pin(pending()),
        };
        let read = shared.streams.resolve(wait.read);
        let _blocked = Blocked::new(&self.shared);
        loop {
            let next = match self.await_news(&read, &mut deadline).await? {
                News::There if self.executor().answer_read(&read).await? => Next::Round,
                // Gone again before it was read.
                News::There => continue,
                News::None => {
                    self.session.reply(&mut self.output).null_array();
                    Next::Round
                }
                News::Stop => {
                    self.session.reply(&mut self.output).null_array();
                    Next::Close
                }
                News::Gone => Next::Close,
            };
            return Ok(next);
        }
    }

    async fn await_news(&mut self, read: &Read, deadline: &mut Deadline) -> io::Result<News> {
        let shared = self.shared.clone();
        let mut news = std::pin::pin!(shared.streams.wait(read, deadline));
        loop {
            tokio::select! {
                there = &mut news => return Ok(match there {
                    true => News::There,
                    false => News::None,
                }),
                _ = self.stop.wait_for(|stop| *stop) => return Ok(News::Stop),
                read = self.input.read_ahead() => if read? == 0 {
                    return Ok(News::Gone);
                },
            }
        }
    }
}

/// Counts a waiting client for as long as it lives.
struct Blocked(Arc<RespShared>);

impl Blocked {
    fn new(shared: &Arc<RespShared>) -> Self {
        shared.stats.blocked.add(1);
        Blocked(shared.clone())
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        self.0.stats.blocked.take(1);
    }
}
