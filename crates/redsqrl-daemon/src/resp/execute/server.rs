//! Commands about the node.

use bytes::Bytes;

use super::Executor;
use super::fault::Fault;
use super::info::{Facts, Section};
use crate::resp::glob::Glob;

impl Executor<'_> {
    pub(super) async fn dbsize(&mut self) -> Result<(), Fault> {
        let len = self.shared.engine.len().await?;
        let len = i64::try_from(len).map_err(|_| Fault::OutOfRange)?;
        self.reply().integer(len);
        Ok(())
    }

    pub(super) async fn info(&mut self, names: &[Bytes]) -> Result<(), Fault> {
        let sections = Section::wanted(names);
        let keys = match sections.contains(&Section::Keyspace) {
            true => Some(self.shared.engine.len().await?),
            false => None,
        };
        let facts = Facts {
            shared: self.shared,
            keys,
        };
        let text = facts.text(&sections);
        self.reply().bulk(text.as_bytes());
        Ok(())
    }

    pub(super) fn config_get(&mut self, patterns: &[Glob]) {
        let config = self.shared.engine.config();
        let limits = self.shared.limits();
        let idle_secs = limits.idle_max.map_or(0, |idle| idle.as_secs());
        let append_only = if config.wal_path.is_some() {
            "yes"
        } else {
            "no"
        };
        let settings: [(&str, String); 8] = [
            ("appendonly", append_only.to_owned()),
            ("databases", "1".to_owned()),
            ("maxclients", limits.clients_max.to_string()),
            ("maxmemory", config.l1_max_bytes.to_string()),
            ("maxmemory-policy", "noeviction".to_owned()),
            (
                "proto-max-bulk-len",
                limits.request.bulk_bytes_max.to_string(),
            ),
            ("save", String::new()),
            ("timeout", idle_secs.to_string()),
        ];
        let is_wanted = |name: &str| patterns.iter().any(|glob| glob.matches(name.as_bytes()));
        let found: Vec<_> = settings
            .iter()
            .filter(|(name, _)| is_wanted(name))
            .collect();
        let mut reply = self.reply();
        reply.map(found.len());
        for (name, value) in found {
            reply.bulk(name.as_bytes());
            reply.bulk(value.as_bytes());
        }
    }
}
