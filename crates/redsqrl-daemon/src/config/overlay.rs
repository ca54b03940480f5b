//! A serde layer that lays variables over a file while it is read, and remembers which key is being read.
//!
//! Laying one over the other before reading would need a tree of values that have lost their text (is `0123` a number
//! or a password?) and their places in the file.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;

use serde::de::{
    self, DeserializeSeed, Deserializer, Error, IgnoredAny, IntoDeserializer, MapAccess,
    Unexpected, Visitor,
};

use super::variables::Node;

type Nodes = BTreeMap<String, Node>;

/// The key being read. After an error: the key at which it happened.
#[derive(Default)]
pub(super) struct Trace {
    path: RefCell<Vec<String>>,
    variable: RefCell<Option<String>>,
}

impl Trace {
    /// Sections and key, dots between.
    pub(super) fn path(&self) -> String {
        self.path.borrow().join(".")
    }

    /// The variable that was being read; `None`: the file was.
    pub(super) fn variable(&self) -> Option<String> {
        self.variable.borrow().clone()
    }
}

#[derive(Clone, Copy)]
struct Layer<'de, 't> {
    nodes: Option<&'de Nodes>,
    trace: &'t Trace,
}

/// A deserializer with variables laid over it.
pub(super) struct Overlay<'de, 't, D> {
    inner: D,
    layer: Layer<'de, 't>,
}

impl<'de, 't, D> Overlay<'de, 't, D> {
    pub(super) fn new(inner: D, nodes: &'de Nodes, trace: &'t Trace) -> Self {
        let layer = Layer {
            nodes: Some(nodes),
            trace,
        };
        Self { inner, layer }
    }
}

macro_rules! forward {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
            let layer = self.layer;
            self.inner.$method(Layered { inner: visitor, layer })
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Overlay<'de, '_, D> {
    type Error = D::Error;

    forward! {
        deserialize_any deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32 deserialize_f64
        deserialize_char deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf deserialize_option
        deserialize_unit deserialize_seq deserialize_map deserialize_identifier deserialize_ignored_any
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.inner.deserialize_unit_struct(name, visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let layer = self.layer;
        self.inner.deserialize_newtype_struct(
            name,
            Layered {
                inner: visitor,
                layer,
            },
        )
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.inner.deserialize_tuple(len, visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.inner.deserialize_tuple_struct(name, len, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let layer = self.layer;
        self.inner.deserialize_struct(
            name,
            fields,
            Layered {
                inner: visitor,
                layer,
            },
        )
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.inner.deserialize_enum(name, variants, visitor)
    }
}

/// A visitor or a seed that hands the layer on to what is inside.
struct Layered<'de, 't, T> {
    inner: T,
    layer: Layer<'de, 't>,
}

macro_rules! forward_visits {
    ($($method:ident($ty:ty))*) => {$(
        fn $method<E: Error>(self, value: $ty) -> Result<V::Value, E> {
            self.inner.$method(value)
        }
    )*};
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Layered<'de, '_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    forward_visits! {
        visit_bool(bool) visit_i64(i64) visit_i128(i128) visit_u64(u64) visit_u128(u128) visit_f64(f64) visit_char(char)
        visit_str(&str) visit_borrowed_str(&'de str) visit_string(String) visit_bytes(&[u8])
        visit_borrowed_bytes(&'de [u8]) visit_byte_buf(Vec<u8>)
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        let layer = self.layer;
        self.inner.visit_some(Overlay { inner, layer })
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        let layer = self.layer;
        self.inner.visit_newtype_struct(Overlay { inner, layer })
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        self.inner.visit_seq(access)
    }

    fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        self.inner.visit_map(Section {
            access,
            layer: self.layer,
            seen: BTreeSet::new(),
            current: Current::None,
        })
    }

    fn visit_enum<A: de::EnumAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        self.inner.visit_enum(access)
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Layered<'de, '_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<S::Value, D::Error> {
        let layer = self.layer;
        self.inner.deserialize(Overlay { inner, layer })
    }
}

/// The key whose value comes next.
enum Current<'de> {
    None,
    /// In the file, and maybe in the variables too.
    File(String, Option<&'de Node>),
    /// In the variables alone.
    Variable(String, &'de Node),
}

/// The keys of a section: those of the file, then those that only variables have.
struct Section<'de, 't, A> {
    access: A,
    layer: Layer<'de, 't>,
    seen: BTreeSet<String>,
    current: Current<'de>,
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

/// The text of a variable, read as whatever the setting is. Empty text is "not set" where a setting may be that.
struct Leaf<'de, E> {
    text: &'de str,
    error: PhantomData<E>,
}

impl<'de, E: Error> Leaf<'de, E> {
    fn new(text: &'de str) -> Self {
        Self {
            text,
            error: PhantomData,
        }
    }
}

macro_rules! parsed {
    ($($method:ident $visit:ident $ty:ty,)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
            match self.text.trim().parse::<$ty>() {
                Ok(value) => visitor.$visit(value),
                Err(_) => Err(E::invalid_value(Unexpected::Str(self.text), &visitor)),
            }
        }
    )*};
}

impl<'de, E: Error> Deserializer<'de> for Leaf<'de, E> {
    type Error = E;

    parsed! {
        deserialize_bool visit_bool bool,
        deserialize_i8 visit_i8 i8,
        deserialize_i16 visit_i16 i16,
        deserialize_i32 visit_i32 i32,
        deserialize_i64 visit_i64 i64,
        deserialize_i128 visit_i128 i128,
        deserialize_u8 visit_u8 u8,
        deserialize_u16 visit_u16 u16,
        deserialize_u32 visit_u32 u32,
        deserialize_u64 visit_u64 u64,
        deserialize_u128 visit_u128 u128,
        deserialize_f32 visit_f32 f32,
        deserialize_f64 visit_f64 f64,
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        visitor.visit_borrowed_str(self.text)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        match self.text.is_empty() {
            true => visitor.visit_none(),
            false => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, E> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, E> {
        visitor.visit_enum(IntoDeserializer::<E>::into_deserializer(self.text))
    }

    serde::forward_to_deserialize_any! {
        char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}
