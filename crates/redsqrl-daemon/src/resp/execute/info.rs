//! The text of INFO.

use std::fmt::Display;

use bytes::Bytes;

use crate::resp::shared::RespShared;

/// The version of Redis whose commands are spoken here: clients choose their features by it.
const SPOKEN_VERSION: &str = "7.0.0";

/// A section of INFO.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    Server,
    Clients,
    Memory,
    Persistence,
    Stats,
    Replication,
    Keyspace,
}

impl Section {
    const ALL: [(Section, &'static str); 7] = [
        (Section::Server, "Server"),
        (Section::Clients, "Clients"),
        (Section::Memory, "Memory"),
        (Section::Persistence, "Persistence"),
        (Section::Stats, "Stats"),
        (Section::Replication, "Replication"),
        (Section::Keyspace, "Keyspace"),
    ];

    /// The sections of these names, in their own order; all if none is named, or one name says so.
    pub(super) fn wanted(names: &[Bytes]) -> Vec<Section> {
        let is = |name: &Bytes, word: &str| name.eq_ignore_ascii_case(word.as_bytes());
        let says_all = |name: &Bytes| ["all", "everything", "default"].iter().any(|w| is(name, w));
        let all = names.is_empty() || names.iter().any(says_all);
        let wanted = |title: &str| all || names.iter().any(|name| is(name, title));
        let sections = Section::ALL.iter().filter(|(_, title)| wanted(title));
        sections.map(|(section, _)| *section).collect()
    }

    fn title(self) -> &'static str {
        let found = Section::ALL.iter().find(|(section, _)| *section == self);
        found.map_or("", |(_, title)| title)
    }
}

/// What the text is made from.
pub(super) struct Facts<'a> {
    pub shared: &'a RespShared,
    /// Items of the node, when they were counted.
    pub keys: Option<u64>,
}

/// The text under way.
struct Text(String);

impl Text {
    fn line(&mut self, name: &str, value: impl Display) {
        self.0.push_str(&format!("{name}:{value}\r\n"));
    }
}

impl Facts<'_> {
    pub(super) fn text(&self, sections: &[Section]) -> String {
        let mut text = Text(String::new());
        for section in sections {
            if !text.0.is_empty() {
                text.0.push_str("\r\n");
            }
            text.0.push_str(&format!("# {}\r\n", section.title()));
            match section {
                Section::Server => self.server(&mut text),
                Section::Clients => self.clients(&mut text),
                Section::Memory => self.memory(&mut text),
                Section::Persistence => self.persistence(&mut text),
                Section::Stats => self.stats(&mut text),
                Section::Replication => self.replication(&mut text),
                Section::Keyspace => self.keyspace(&mut text),
            }
        }
        text.0
    }

    fn server(&self, text: &mut Text) {
        text.line("redis_version", SPOKEN_VERSION);
        text.line("redis_mode", "standalone");
        text.line("redsqrl_version", env!("CARGO_PKG_VERSION"));
        text.line("node_id", one_line(&self.shared.settings.node_id));
        text.line("process_id", std::process::id());
        text.line("engine_state", self.shared.engine.state());
        let uptime = self.shared.uptime().as_secs();
        text.line("uptime_in_seconds", uptime);
        text.line("uptime_in_days", uptime / 86_400);
    }

    fn clients(&self, text: &mut Text) {
        text.line("connected_clients", self.shared.clients.len());
        text.line("maxclients", self.shared.limits().clients_max);
        text.line("blocked_clients", self.shared.stats.blocked.get());
    }

    fn memory(&self, text: &mut Text) {
        let l1 = self.shared.engine.l1_stats();
        let streams = self.shared.streams.with(|store| store.bytes());
        let log = self.shared.log.as_ref().map_or(0, |log| log.bytes());
        let used = l1.bytes.saturating_add(streams).saturating_add(log);
        let budget = &self.shared.budget;
        let clients = [&budget.lookups, &budget.replies, &budget.requests];
        let clients: usize = clients.iter().map(|room| room.held_bytes()).sum();
        let used = used.saturating_add(clients);
        text.line("used_memory", used);
        text.line("used_memory_items", l1.bytes);
        text.line("used_memory_streams", streams);
        text.line("used_memory_changes", log);
        text.line("used_memory_clients", clients);
        text.line("maxmemory", self.shared.engine.config().l1_max_bytes);
        text.line("maxmemory_policy", "noeviction");
        text.line(
            "mem_pressure",
            format!("{:.3}", self.shared.engine.memory_pressure()),
        );
    }

    fn persistence(&self, text: &mut Text) {
        let is_loading = !self.shared.engine.is_ready();
        let is_logged = self.shared.engine.config().wal_path.is_some();
        text.line("loading", u8::from(is_loading));
        text.line("aof_enabled", u8::from(is_logged));
        text.line("unflushed_items", self.shared.engine.l1_stats().dirty);
    }

    fn stats(&self, text: &mut Text) {
        let stats = &self.shared.stats;
        text.line("total_connections_received", stats.connections.get());
        text.line("rejected_connections", stats.rejected.get());
        text.line("total_commands_processed", stats.commands.get());
        text.line("total_error_replies", stats.failed.get());
        text.line("total_protocol_errors", stats.protocol_errors.get());
        text.line("total_net_input_bytes", stats.bytes_in.get());
        text.line("total_net_output_bytes", stats.bytes_out.get());
        text.line("keyspace_hits", stats.hits.get());
        text.line("keyspace_misses", stats.misses.get());
        text.line("evicted_keys", self.shared.engine.l1_stats().evictions);
    }

    fn replication(&self, text: &mut Text) {
        text.line("role", "master");
        text.line("connected_slaves", 0);
        if let Ok(root) = self.shared.engine.merkle_root() {
            text.line("merkle_root", root);
        }
        if let Some(log) = &self.shared.log {
            text.line("changes_last_id", log.last_id());
            text.line("changes_len", log.len());
        }
    }

    fn keyspace(&self, text: &mut Text) {
        if let Some(keys) = self.keys.filter(|keys| *keys > 0) {
            text.line("db0", format!("keys={keys}"));
        }
    }
}

/// A configured text cannot end its line.
fn one_line(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_by_name() {
        let wanted = |names: &[&'static str]| {
            let names: Vec<Bytes> = names.iter().map(|name| Bytes::from(*name)).collect();
            Section::wanted(&names)
        };
        assert_eq!(wanted(&[]).len(), Section::ALL.len());
        assert_eq!(wanted(&["EVERYTHING", "x"]).len(), Section::ALL.len());
        assert_eq!(
            wanted(&["stats", "SERVER"]),
            [Section::Server, Section::Stats]
        );
        assert_eq!(wanted(&["nonsense"]), []);
        assert_eq!(Section::Memory.title(), "Memory");
    }
}
