//! Settings from the environment: `REDSQRL__HTTP__LISTEN` is the key `listen` in the section `http`.

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::ConfigFault;
use super::error::Place;

/// What every variable begins with.
const PREFIX: &str = "REDSQRL__";

/// The variables that hold settings, as a tree.
#[derive(Default)]
pub struct Variables(pub(super) BTreeMap<String, Node>);

pub(super) enum Node {
    Leaf { name: String, text: String },
    Section(BTreeMap<String, Node>),
}

impl Node {
    /// A variable of this node, for errors.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Leaf { name, .. } => name,
            Self::Section(nodes) => nodes.values().next().map_or(PREFIX, Self::name),
        }
    }
}

impl Variables {
    /// Those of this process.
    ///
    /// # Errors
    /// See [`Variables::from_pairs`].
    pub fn of_process() -> Result<Self, ConfigFault> {
        Self::from_pairs(std::env::vars_os())
    }

    /// Those among `pairs`.
    ///
    /// # Errors
    /// A value that is not UTF-8; a name that is both a section and a key.
    pub fn from_pairs(
        pairs: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigFault> {
        let mut variables = Self::default();
        for (name, text) in pairs {
            let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else {
                continue;
            };
            let wrong = |what: &str| ConfigFault::Wrong {
                place: Place::Variable(name.into()),
                what: what.into(),
            };
            let text = text
                .into_string()
                .map_err(|_| wrong("its value is not UTF-8"))?;
            if !variables.insert(name, text) {
                return Err(wrong(
                    "another variable uses this name as a section, or one of its sections as a key",
                ));
            }
        }
        Ok(variables)
    }

    fn insert(&mut self, name: &str, text: String) -> bool {
        let path = name
            .strip_prefix(PREFIX)
            .unwrap_or(name)
            .to_ascii_lowercase();
        let (sections, key) = path.rsplit_once("__").unwrap_or(("", &path));
        let mut nodes = &mut self.0;
        for section in sections.split("__").filter(|section| !section.is_empty()) {
            let node = nodes
                .entry(section.into())
                .or_insert_with(|| Node::Section(BTreeMap::new()));
            match node {
                Node::Section(inner) => nodes = inner,
                Node::Leaf { .. } => return false,
            }
        }
        let leaf = Node::Leaf {
            name: name.into(),
            text,
        };
        nodes.insert(key.into(), leaf).is_none()
    }
}
