//! What follows from settings, and whether they go together.

use std::path::Path;

use replication_engine::config::CursorSettings;

use super::{ConfigFault, NodeConfig, secret};

impl NodeConfig {
    /// The same with everything that follows from other settings filled in, under the name `node_id`.
    #[must_use]
    pub fn resolved(mut self, node_id: &str) -> Self {
        self.node_id = Some(node_id.into());
        self.engine.node_id = Some(node_id.into());
        if self.engine.sql_url.is_none() {
            let file = self.dir.join("redsqrl.db");
            self.engine.sql_url = Some(format!("sqlite:{}", file.display()).into());
        }
        if self.engine.wal_path.is_none() {
            self.engine.wal_path = Some(self.dir.join("wal.db"));
        }
        self.replication.local_node_id = node_id.into();
        let cursors = CursorSettings::default().sqlite_path;
        if self.replication.cursor.sqlite_path == cursors {
            self.replication.cursor.sqlite_path = self.dir.join(cursors);
        }
        // A node with peers has somebody who follows its stream.
        self.engine.enable_cdc_stream |= !self.replication.peers.is_empty();
        self
    }

    /// Checks what the text alone cannot show: values that do not go together.
    ///
    /// # Errors
    /// The first setting that cannot work, by its whole name.
    pub fn validate(&self) -> Result<(), ConfigFault> {
        self.check_names()?;
        let resolved = self
            .clone()
            .resolved(self.given_node_id().unwrap_or("unnamed"));
        resolved.engine.validate().map_err(|error| {
            ConfigFault::setting(
                format!("engine.{}", error.field),
                error.found,
                error.expected,
            )
        })?;
        resolved.replication.validate().map_err(|error| {
            let name = match error.field.as_str() {
                "local_node_id" => "node_id".into(),
                field => format!("replication.{field}"),
            };
            ConfigFault::setting(name, error.found, error.expected)
        })?;
        let least = |name: &str, value: usize| match value {
            0 => Err(ConfigFault::setting(
                name.into(),
                "0".into(),
                "at least 1".into(),
            )),
            _ => Ok(()),
        };
        least("resp.max_clients", self.resp.max_clients)?;
        least("http.max_body", self.http.max_body.unwrap_or(1))?;
        crate::telemetry::filter(&self.log.level).map_err(|expected| {
            ConfigFault::setting("log.level".into(), self.log.level.clone(), expected)
        })?;
        Ok(())
    }

    /// The name may be given in three places, and is one.
    fn check_names(&self) -> Result<(), ConfigFault> {
        let names = self.names();
        let mut given = names
            .iter()
            .filter_map(|(place, name)| name.map(|name| (place, name)));
        let Some((first, name)) = given.next() else {
            return Ok(());
        };
        match given.find(|(_, other)| *other != name) {
            None => Ok(()),
            Some((place, other)) => Err(ConfigFault::setting(
                (*place).into(),
                other.into(),
                format!("the same as `{first}`, which is {name}; one of the two is enough"),
            )),
        }
    }

    fn names(&self) -> [(&'static str, Option<&str>); 3] {
        let local = self.replication.local_node_id.as_str();
        [
            ("node_id", self.node_id.as_deref()),
            ("engine.node_id", self.engine.node_id.as_deref()),
            (
                "replication.local_node_id",
                Some(local).filter(|local| !local.is_empty()),
            ),
        ]
    }

    /// The name given in the settings, wherever it stands.
    #[must_use]
    pub fn given_node_id(&self) -> Option<&str> {
        self.names().into_iter().find_map(|(_, name)| name)
    }

    /// Longest HTTP body, in bytes.
    #[must_use]
    pub fn max_body(&self) -> usize {
        let payload = self.engine.max_payload_bytes;
        self.http.max_body.map_or(payload, |max| max.min(payload))
    }

    /// Replaces `${file:PATH}` in every setting that may hold a secret by what the file holds.
    pub(super) fn read_secrets(&mut self, base: &Path) -> Result<(), ConfigFault> {
        for (name, url) in [
            ("engine.redis_url", &mut self.engine.redis_url),
            ("engine.sql_url", &mut self.engine.sql_url),
        ] {
            if let Some(url) = url {
                *url = secret::expand(url.expose(), name, base)?.into();
            }
        }
        for (at, peer) in self.replication.peers.iter_mut().enumerate() {
            let name = format!("replication.peers[{at}].redis_url");
            peer.redis_url = secret::expand(peer.redis_url.expose(), &name, base)?.into();
        }
        if let Some(password) = &mut self.resp.password {
            *password = secret::expand(password.expose(), "resp.password", base)?.into();
        }
        Ok(())
    }
}
