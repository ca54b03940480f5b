//! A serde layer that lays variables over a file while it is read, and remembers which key is being read.
//!
//! Laying one over the other before reading would need a tree of values that have lost their text (is `0123` a number
//! or a password?) and their places in the file.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, Error, MapAccess, Visitor};

use super::section::Section;
use super::variables::Node;

type Nodes = BTreeMap<String, Node>;

/// The key being read. After an error: the key at which it happened.
#[derive(Default)]
pub(super) struct Trace {
    pub(super) path: RefCell<Vec<String>>,
    pub(super) variable: RefCell<Option<String>>,
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
pub(super) struct Layer<'de, 't> {
    pub(super) nodes: Option<&'de Nodes>,
    pub(super) trace: &'t Trace,
}

/// A deserializer with variables laid over it.
pub(super) struct Overlay<'de, 't, D> {
    pub(super) inner: D,
    pub(super) layer: Layer<'de, 't>,
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
pub(super) struct Layered<'de, 't, T> {
    pub(super) inner: T,
    pub(super) layer: Layer<'de, 't>,
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
        self.inner.visit_map(Section::new(access, self.layer))
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
