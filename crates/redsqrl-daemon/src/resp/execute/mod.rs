//! Commands become verbs of the engine.
//!
//! The rule: a client that hears "no such key" can rely on it. What could not be looked up or
//! stored is an error reply, never a null.

mod fault;

mod group;

mod session;

mod client;

mod values;

mod strings;

mod set;

mod keys;

mod lifetime;

mod scan;

mod streams;

mod server;

mod info;

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use sync_engine::{Key, SyncItem};

pub(super) use group::{Group, Groups};
pub(super) use session::Session;

use super::command::{ClientCommand, ReplyMode, XRead};
use super::output::Output;
use super::shared::RespShared;
use super::{Reply, Request};
use fault::Fault;

/// Executes commands of one client.
pub(super) struct Executor<'a> {
    pub shared: &'a Arc<RespShared>,
    pub session: &'a mut Session,
    pub output: &'a mut Output,
    /// Bytes of the read buffer that an argument kept for long would keep alive.
    pub held: usize,
}

/// Arguments shorter than this are copied in any case: their neighbours weigh more.
const SLICE_BYTES_MIN: usize = 64 * 1024;

impl Executor<'_> {
    /// Executes a group of commands and writes their replies, except to an XREAD that has to wait:
    /// it is handed back.
    ///
    /// # Errors
    /// The client has gone.
    pub(super) async fn run(&mut self, group: Group) -> io::Result<Option<XRead>> {
        let mode = self.session.next_reply_mode();
        if mode != ReplyMode::On {
            self.output.mute();
        }
        let wait = match group {
            group if !self.session.may(&group) => {
                self.reply()
                    .error("NOAUTH authenticate with AUTH or HELLO first");
                None
            }
            Group::Refused(error) => {
                self.reply().error(&error.to_string());
                if error == super::CommandError::NotRedis {
                    self.session.close();
                }
                None
            }
            Group::Gets(keys) => {
                self.gets(&keys).await?;
                None
            }
            Group::Sets(sets) => {
                self.sets(sets).await;
                None
            }
            Group::One(request) => self.one(request).await?,
        };
        self.output.unmute();
        // To wait for a reply that nobody wants would only hold up the next command.
        Ok(wait.filter(|_| mode == ReplyMode::On))
    }

    async fn one(&mut self, request: Request) -> io::Result<Option<XRead>> {
        let result = match request {
            Request::Get(key) => self.get_special(&key),
            Request::Set(set) => self.set(set).await,
            Request::MGet(keys) => self.mget(&keys).await,
            Request::MSet(pairs) => self.mset(&pairs).await,
            Request::GetDel(key) => self.getdel(&key).await,
            Request::StrLen(key) => self.strlen(&key).await,
            Request::Del(keys) => self.del(&keys).await,
            Request::Exists(keys) => self.exists(&keys).await,
            Request::Ttl(key) => self.lifetime(&key, lifetime::seconds_left).await,
            Request::PTtl(key) => self.lifetime(&key, lifetime::millis_left).await,
            Request::ExpireTime(key) => self.lifetime(&key, lifetime::end_in_seconds).await,
            Request::PExpireTime(key) => self.lifetime(&key, lifetime::end_in_millis).await,
            Request::Expire(expire) => self.expire(expire).await,
            Request::Persist(key) => self.persist(&key).await,
            Request::Type(key) => self.kind(&key).await,
            Request::Scan(scan) => self.scan(&scan).await,
            Request::DbSize => self.dbsize().await,
            Request::Info(sections) => self.info(&sections).await,
            Request::XRead(read) => return self.xread(read).await,
            other => self.others(other).await,
        };
        self.answered(result)?;
        Ok(None)
    }

    /// Answers a fault with an error, unless there is nobody to answer.
    fn answered(&mut self, result: Result<(), Fault>) -> io::Result<()> {
        match result {
            Ok(()) => Ok(()),
            Err(Fault::Gone(error)) => Err(error),
            Err(fault) => {
                self.fault(&fault);
                Ok(())
            }
        }
    }

    /// Streams, and what concerns the connection alone.
    async fn others(&mut self, request: Request) -> Result<(), Fault> {
        match request {
            Request::XAdd(append) => self.xadd(&append),
            Request::XLen(key) => self.xlen(&key).await,
            Request::XRange(range) => self.xrange(&range).await,
            Request::XDel { key, ids } => self.xdel(&key, &ids).await,
            Request::XTrim { key, trim } => self.xtrim(&key, trim).await,
            Request::XInfoStream(key) => self.xinfo(&key).await,
            Request::Client(ClientCommand::List) => self.client_list().await,
            Request::Ping(text) => {
                match text {
                    Some(text) => self.reply().value(&text),
                    None => self.reply().simple("PONG"),
                }
                Ok(())
            }
            Request::Echo(text) => {
                self.reply().value(&text);
                Ok(())
            }
            Request::Command(query) => {
                super::command::describe::answer(&mut self.reply(), &query);
                Ok(())
            }
            Request::ConfigGet(patterns) => {
                self.config_get(&patterns);
                Ok(())
            }
            other => {
                self.connection(other);
                Ok(())
            }
        }
    }

    fn reply(&mut self) -> Reply<'_> {
        self.session.reply(self.output)
    }

    fn fault(&mut self, fault: &Fault) {
        if fault.is_of_engine() {
            self.shared.stats.failed.add(1);
        }
        self.reply().error(&fault.to_string());
    }

    /// An item under a key that may be stored, with a copy of the value unless the value is most
    /// of the read buffer.
    fn item(&self, key: &[u8], value: &Bytes) -> Result<SyncItem, Fault> {
        let key = Key::parse(key).map_err(Fault::key)?;
        let is_most = value.len() >= SLICE_BYTES_MIN && value.len() >= self.held / 8 * 7;
        let content = match is_most {
            true => value.clone(),
            false => Bytes::copy_from_slice(value),
        };
        Ok(SyncItem::new(key, content))
    }

    /// Refuses keys under which no client may store an item.
    fn check_writable(&self, key: &[u8]) -> Result<(), Fault> {
        match self.shared.place(key) {
            super::special::Place::Item => Ok(()),
            _ => Err(Fault::OwnKey),
        }
    }
}
