//! The state of one connection, and the commands that change it.

use std::sync::Arc;
use std::time::Duration;

use super::{Executor, Group};
use crate::resp::clients::ClientCard;
use crate::resp::command::{Credentials, Hello, ReplyMode};
use crate::resp::output::Output;
use crate::resp::{Proto, Reply, Request};

/// What the server remembers of one connection.
#[derive(Debug)]
pub(crate) struct Session {
    pub(super) card: Arc<ClientCard>,
    pub(super) proto: Proto,
    pub(super) mode: ReplyMode,
    is_authenticated: bool,
    is_closing: bool,
}

impl Session {
    pub(crate) fn new(card: Arc<ClientCard>, is_authenticated: bool) -> Self {
        Session {
            card,
            proto: Proto::Resp2,
            mode: ReplyMode::On,
            is_authenticated,
            is_closing: false,
        }
    }

    pub(crate) fn id(&self) -> u64 {
        self.card.id
    }

    pub(crate) fn is_authenticated(&self) -> bool {
        self.is_authenticated
    }

    /// Whether the connection ends after the replies written so far.
    pub(crate) fn is_closing(&self) -> bool {
        self.is_closing
    }

    pub(crate) fn touch(&self, now: Duration) {
        self.card.touch(now);
    }

    /// A writer of replies in this connection's protocol version.
    pub(crate) fn reply<'a>(&self, output: &'a mut Output) -> Reply<'a> {
        Reply::new(&mut output.pieces, self.proto)
    }

    pub(super) fn close(&mut self) {
        self.is_closing = true;
    }

    /// Whether this client may say this now.
    pub(super) fn may(&self, group: &Group) -> bool {
        self.is_authenticated
            || matches!(
                group,
                Group::One(Request::Hello(_) | Request::Auth(_) | Request::Quit | Request::Reset)
                    | Group::Refused(_)
            )
    }

    /// Whether the reply to the command now taken up is wanted; a skip is used up.
    pub(super) fn next_reply_mode(&mut self) -> ReplyMode {
        let mode = self.mode;
        if mode == ReplyMode::Skip {
            self.mode = ReplyMode::On;
        }
        mode
    }
}

impl Executor<'_> {
    /// Commands about the connection itself.
    pub(super) fn connection(&mut self, request: Request) {
        match request {
            Request::Hello(hello) => self.hello(hello),
            Request::Auth(credentials) => match self.authenticate(&credentials) {
                Ok(()) => self.reply().ok(),
                Err(refusal) => self.reply().error(refusal),
            },
            Request::Select(0) => self.reply().ok(),
            Request::Select(_) => self
                .reply()
                .error("ERR DB index is out of range: there is only database 0"),
            Request::Client(command) => self.client(command),
            Request::Quit => {
                self.reply().ok();
                self.session.close();
            }
            Request::Reset => self.reset(),
            // Every other request has been dealt with before.
            _ => self.reply().error("ERR this command is not served here"),
        }
    }

    fn authenticate(&mut self, credentials: &Credentials) -> Result<(), &'static str> {
        match &self.shared.settings.password {
            Some(password) if password.fits(credentials) => {
                self.session.is_authenticated = true;
                Ok(())
            }
            Some(_) => Err("WRONGPASS this user and password do not go together"),
            None if credentials.names_user() && credentials.user() == b"default" => Ok(()),
            None if credentials.names_user() => {
                Err("WRONGPASS this user and password do not go together")
            }
            None => Err("ERR AUTH called, and this node asks for no password"),
        }
    }

    fn hello(&mut self, hello: Hello) {
        if let Some(credentials) = &hello.auth
            && let Err(refusal) = self.authenticate(credentials)
        {
            return self.reply().error(refusal);
        }
        if !self.session.is_authenticated {
            return self
                .reply()
                .error("NOAUTH HELLO must come with AUTH <user> <password> here");
        }
        if let Some(proto) = hello.proto {
            self.session.proto = proto;
        }
        if let Some(name) = hello.name {
            self.session
                .card
                .with_words(|words| words.name = copied(&name));
        }
        let id = i64::try_from(self.session.id()).unwrap_or(i64::MAX);
        let mut reply = self.reply();
        let version = match reply.proto() {
            Proto::Resp2 => 2,
            Proto::Resp3 => 3,
        };
        reply.map(7);
        let texts = [
            ("server", "redsqrl"),
            ("version", env!("CARGO_PKG_VERSION")),
            ("mode", "standalone"),
            ("role", "master"),
        ];
        for (name, value) in texts {
            reply.bulk(name.as_bytes());
            reply.bulk(value.as_bytes());
        }
        for (name, value) in [("proto", version), ("id", id)] {
            reply.bulk(name.as_bytes());
            reply.integer(value);
        }
        reply.bulk(b"modules");
        reply.array(0);
    }

    fn reset(&mut self) {
        self.session.proto = Proto::Resp2;
        self.session.mode = ReplyMode::On;
        self.session.is_authenticated = self.shared.settings.password.is_none();
        self.session.card.with_words(|words| words.name.clear());
        self.output.unmute();
        self.reply().simple("RESET");
    }
}

/// A copy that does not keep the read buffer alive.
pub(super) fn copied(text: &bytes::Bytes) -> bytes::Bytes {
    bytes::Bytes::copy_from_slice(text)
}
