use std::{fs, path::Path};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::{During, TestbedError};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/cities.ndjson.zst");

/// The sample data: 34,006 real cities as `(id, content)`, in the file's order. The content is the JSON text as it
/// stands in the file, byte for byte. See `data/README.md` for where the facts come from.
///
/// # Errors
/// When the file is missing or damaged.
pub fn cities() -> Result<Vec<(String, Vec<u8>)>, TestbedError> {
    let path = Path::new(FILE);
    let packed = fs::read(path).on("read", path)?;
    let text = zstd::decode_all(packed.as_slice()).on("unpack", path)?;
    text.split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .enumerate()
        .map(|(index, line)| parse(line, index + 1))
        .collect()
}

#[derive(Deserialize)]
struct Line<'a> {
    id: String,
    #[serde(borrow)]
    content: &'a RawValue,
}

fn parse(text: &[u8], line: usize) -> Result<(String, Vec<u8>), TestbedError> {
    let city: Line =
        serde_json::from_slice(text).map_err(|source| TestbedError::Cities { line, source })?;
    Ok((city.id, city.content.get().as_bytes().to_vec()))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn all_cities_are_there_once() {
        let cities = cities().unwrap();
        assert_eq!(cities.len(), 34_006);
        let ids: HashSet<_> = cities.iter().map(|(id, _)| id).collect();
        assert_eq!(ids.len(), cities.len());
        assert!(cities.iter().all(|(id, _)| id.starts_with("geo.")));
    }

    #[test]
    fn content_is_the_bytes_of_the_line() {
        let line = r#"{"id": "geo.a.b.1", "content":  {"b" : 1.50, "a":"\u00e9 é"} }"#;
        let (id, content) = parse(line.as_bytes(), 1).unwrap();
        assert_eq!(id, "geo.a.b.1");
        assert_eq!(content, r#"{"b" : 1.50, "a":"\u00e9 é"}"#.as_bytes());

        let packed = fs::read(FILE).unwrap();
        let text = zstd::decode_all(packed.as_slice()).unwrap();
        let mut rebuilt = Vec::with_capacity(text.len());
        for (id, content) in cities().unwrap() {
            rebuilt.extend_from_slice(format!("{{\"id\": \"{id}\", \"content\": ").as_bytes());
            rebuilt.extend_from_slice(&content);
            rebuilt.extend_from_slice(b"}\n");
        }
        assert!(rebuilt == text, "the contents do not rebuild the file");
    }

    #[test]
    fn a_bad_line_is_named() {
        let error = parse(b"{\"id\": 3}", 17).unwrap_err();
        assert!(error.to_string().contains("line 17"), "{error}");
    }
}
