//! CLIENT.

use bytes::Bytes;

use super::Executor;
use super::fault::Fault;
use super::session::copied;
use crate::resp::command::{ClientCommand, ReplyMode};

impl Executor<'_> {
    pub(super) fn client(&mut self, command: ClientCommand) {
        let card = self.session.card.clone();
        let now = self.shared.env().monotonic();
        match command {
            ClientCommand::SetName(name) => {
                card.with_words(|words| words.name = copied(&name));
                self.reply().ok();
            }
            ClientCommand::SetLibName(name) => {
                card.with_words(|words| words.lib_name = copied(&name));
                self.reply().ok();
            }
            ClientCommand::SetLibVersion(version) => {
                card.with_words(|words| words.lib_version = copied(&version));
                self.reply().ok();
            }
            ClientCommand::GetName => {
                let name = card.with_words(|words| words.name.clone());
                match name.is_empty() {
                    true => self.reply().null(),
                    false => self.reply().bulk(&name),
                }
            }
            ClientCommand::Id => {
                let id = i64::try_from(card.id).unwrap_or(i64::MAX);
                self.reply().integer(id);
            }
            // Answered before, by `client_list`.
            ClientCommand::List => {}
            ClientCommand::Info => {
                let line = format!("{}\n", card.line(now));
                self.reply().bulk(line.as_bytes());
            }
            // No client is ever evicted, and reading through this port is reading: accepted.
            ClientCommand::NoEvict(_) | ClientCommand::NoTouch(_) => self.reply().ok(),
            ClientCommand::Reply(mode) => self.reply_mode(mode),
        }
    }

    /// CLIENT LIST: a line for each client there is.
    pub(super) async fn client_list(&mut self) -> Result<(), Fault> {
        let shared = self.shared.clone();
        let now = shared.env().monotonic();
        let list = |_| {
            let list = Bytes::from(shared.clients.list(now));
            let bytes = list.len();
            (list, bytes)
        };
        let (list, room) = shared.budget.replies.fit(0, list).await?;
        self.output.holds(room.as_ref());
        self.reply().value(&list);
        Ok(self.output.relieve().await?)
    }

    fn reply_mode(&mut self, mode: ReplyMode) {
        self.session.mode = mode;
        match mode {
            ReplyMode::On => {
                self.output.unmute();
                self.reply().ok();
            }
            ReplyMode::Off | ReplyMode::Skip => {}
        }
    }
}
