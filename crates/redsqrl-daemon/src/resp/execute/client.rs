//! CLIENT.

use super::Executor;
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
            ClientCommand::List => {
                let list = self.shared.clients.list(now);
                self.reply().bulk(list.as_bytes());
            }
            ClientCommand::Info => {
                let line = format!("{}\n", card.line(now));
                self.reply().bulk(line.as_bytes());
            }
            // No client is ever evicted, and reading through this port is reading: accepted.
            ClientCommand::NoEvict(_) | ClientCommand::NoTouch(_) => self.reply().ok(),
            ClientCommand::Reply(mode) => self.reply_mode(mode),
        }
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
