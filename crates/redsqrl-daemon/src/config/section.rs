//! One section: the keys of the file, each changed by its variable, then the keys that only variables have.

use std::collections::BTreeSet;

use serde::de::{self, DeserializeSeed, Error, IgnoredAny, IntoDeserializer, MapAccess};

use super::leaf::Leaf;
use super::overlay::{Layer, Layered, Overlay};
use super::variables::Node;

/// The key whose value comes next.
enum Current<'de> {
    None,
    /// In the file, and maybe in the variables too.
    File(String, Option<&'de Node>),
    /// In the variables alone.
    Variable(String, &'de Node),
}

/// The keys of a section: those of the file, then those that only variables have.
pub(super) struct Section<'de, 't, A> {
    access: A,
    layer: Layer<'de, 't>,
    seen: BTreeSet<String>,
    current: Current<'de>,
}

impl<'de, 't, A> Section<'de, 't, A> {
    pub(super) fn new(access: A, layer: Layer<'de, 't>) -> Self {
        Self {
            access,
            layer,
            seen: BTreeSet::new(),
            current: Current::None,
        }
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Section<'de, '_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        let nodes = self.layer.nodes;
        let key = match self.access.next_key::<String>()? {
            Some(key) => {
                self.current = Current::File(key.clone(), nodes.and_then(|nodes| nodes.get(&key)));
                key
            }
            None => {
                let unseen =
                    nodes.and_then(|nodes| nodes.iter().find(|(key, _)| !self.seen.contains(*key)));
                let Some((key, node)) = unseen else {
                    return Ok(None);
                };
                // An unknown key is refused before its value is read.
                *self.layer.trace.variable.borrow_mut() = Some(node.name().into());
                self.current = Current::Variable(key.clone(), node);
                key.clone()
            }
        };
        self.seen.insert(key.clone());
        let key = seed.deserialize(IntoDeserializer::<A::Error>::into_deserializer(key))?;
        *self.layer.trace.variable.borrow_mut() = None;
        Ok(Some(key))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        let trace = self.layer.trace;
        let (key, node, in_file) = match std::mem::replace(&mut self.current, Current::None) {
            Current::None => return Err(Error::custom("a value without a key")),
            Current::File(key, node) => (key, node, true),
            Current::Variable(key, node) => (key, Some(node), false),
        };
        trace.path.borrow_mut().push(key);
        let layer = |nodes| Layer { nodes, trace };
        let value = match (node, in_file) {
            (Some(Node::Leaf { name, text }), in_file) => {
                if in_file {
                    self.access.next_value::<IgnoredAny>()?;
                }
                *trace.variable.borrow_mut() = Some(name.clone());
                let value = seed.deserialize(Leaf::new(text))?;
                *trace.variable.borrow_mut() = None;
                value
            }
            (Some(Node::Section(nodes)), true) => {
                let layer = layer(Some(nodes));
                self.access
                    .next_value_seed(Layered { inner: seed, layer })?
            }
            (Some(Node::Section(nodes)), false) => {
                let nothing = std::iter::empty::<(String, String)>();
                let inner = de::value::MapDeserializer::<_, A::Error>::new(nothing);
                seed.deserialize(Overlay {
                    inner,
                    layer: layer(Some(nodes)),
                })?
            }
            (None, _) => {
                let layer = layer(None);
                self.access
                    .next_value_seed(Layered { inner: seed, layer })?
            }
        };
        trace.path.borrow_mut().pop();
        Ok(value)
    }
}
